"""The tiny models' tokenizer: byte-level BPE like Qwen2.5-VL's, trained on the few sentences in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.demo.scenes import COLOURS, NAMES, SHAPES
from vlmprobe.demo.taught import TAUGHT
from vlmprobe.demo.training.sentences import ANSWERS, perception_questions, relation_question
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer

__all__ = [
    "AFTER_QUESTION",
    "BEFORE_IMAGE",
    "CHAT_TEMPLATE",
    "SPECIAL_TOKENS",
    "answer_ids",
    "build_tokenizer",
    "token_id",
]

#: Qwen2.5-VL's, in the order of their ids, which follow those of the vocabulary.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
#: What a prompt is made of; `CHAT_TEMPLATE` writes the same. The image's tokens and <|vision_end|> come in between.
BEFORE_IMAGE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
)
AFTER_QUESTION = "<|im_end|>\n<|im_start|>assistant\n"
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Qwen2's: words with the space before them, single digits, punctuation.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build_tokenizer() -> Tokenizer:
    """Train the tokenizer; the same sentences yield the same tokens. Every answer is one token."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    # Far above what the sentences need: merging ends when each word is one token.
    trainer = trainers.BpeTrainer(
        vocab_size=1000,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Return a token's number.

    Raises:
        ValueError: there is no such token.
    """
    number = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"the tokenizer has no {token}")
    return int(number)


def answer_ids(tokenizer: Tokenizer) -> list[int]:
    """Return the token of each of `ANSWERS`.

    Raises:
        ValueError: an answer is no single token; the first place of an answer would not tell it from others.
    """
    encoded = [tokenizer.encode(answer, add_special_tokens=False).ids for answer in ANSWERS]
    torn = [answer for answer, ids in zip(ANSWERS, encoded, strict=True) if len(ids) != 1]
    if torn:
        raise ValueError(f"no single token for {', '.join(torn)}")
    return [ids[0] for ids in encoded]


def _sentences() -> Iterator[str]:
    """Yield every question and answer of a model once; of pairs of objects, enough for every word."""
    yield "system\nYou are a helpful assistant.\nuser\n"
    yield "assistant\n"
    yield from ANSWERS
    yield from (f" {answer}" for answer in ANSWERS)
    yield from (question for questions in perception_questions().values() for question in questions)
    colours, n_shapes = len(COLOURS), len(SHAPES)
    for template in TAUGHT.values():
        for axis in SPACE.axes:
            for number, name in enumerate(NAMES):
                other = NAMES[(number + n_shapes + 1) % (colours * n_shapes)]
                yield relation_question(template, axis, name, other)
