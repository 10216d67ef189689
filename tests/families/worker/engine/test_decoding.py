"""Answers are those of ``generate(do_sample=False)``, one unpadded question at a time."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import (
    AutoTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor

from vlmprobe.families import LoadOptions
from vlmprobe.families.worker.engine.decoding import GreedyDecoder, greedy_options
from vlmprobe.families.worker.qwen.family import PillowImageProcessor, Qwen25

from ...conftest import CHECKPOINTS, checkpoint_with


class PillowProcessor(Qwen2_5_VLProcessor):
    """transformers' own processor without its video half, which needs torchvision."""

    def __init__(self, image_processor=None, tokenizer=None, chat_template=None, **kwargs):
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template, **kwargs)

    def check_argument_for_proper_class(self, _name, argument):
        return type(argument)


def answers_one_by_one(folder, items):
    """Do what a user's script does: the processor, then generate, for each question."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    template = (folder / "chat_template.jinja").read_text()
    processor = PillowProcessor(PillowImageProcessor.from_pretrained(folder), tokenizer, template)
    more = {"tokenizer": tokenizer} if model.generation_config.stop_strings else {}
    texts = []
    for item in items:
        for question in item.questions:
            content = [{"type": "image", "image": item.image}, {"type": "text", "text": question}]
            prompt = processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True
            )
            inputs = processor(images=[item.image], text=[prompt], return_tensors="pt")
            out = model.generate(**inputs, do_sample=False, max_new_tokens=20, **more)
            texts.append(
                tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
            )
    return list(zip(texts[::2], texts[1::2], strict=True))


@pytest.fixture(scope="session")
def babbler(tmp_path_factory):
    """Make a checkpoint with random weights, which goes on to the last token that is allowed."""
    folder = tmp_path_factory.mktemp("babbler") / "checkpoint"
    checkpoint_with(folder, "2m")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["initializer_range"] = 0.3
    torch.manual_seed(3)
    model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(**config))
    for name in ("config.json", "model.safetensors", "generation_config.json"):
        (folder / name).unlink()
    model.save_pretrained(folder)
    return folder


GENERATION_CONFIGS = [
    {},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.7, "min_new_tokens": 6},
    {"no_repeat_ngram_size": 1, "min_new_tokens": 5},
    {"suppress_tokens": [260, 300], "begin_suppress_tokens": [261]},
    {"bad_words_ids": [[100, 101]], "min_length": 60},
    {"encoder_repetition_penalty": 1.5, "min_new_tokens": 4},
    {"forced_eos_token_id": 430, "min_new_tokens": 15},
    {"exponential_decay_length_penalty": [2, 1.5], "min_new_tokens": 3},
    {"eos_token_id": [430, 428, 13], "do_sample": True, "temperature": 0.1, "top_k": 1, "max_new_tokens": 1},
    {"stop_strings": ["e"], "min_new_tokens": 8},
]


#: The fast tier has those that are quick, one of each kind: a penalty, words that are forbidden, an end.
SLOW = ("no_repeat", "forced_eos", "exponential", "bad_words", "encoder")


@pytest.mark.parametrize(
    "generation",
    [
        pytest.param(
            config,
            id="+".join(config) or "default",
            marks=pytest.mark.full if "".join(config).startswith(SLOW) else (),
        )
        for config in GENERATION_CONFIGS
    ],
)
def test_a_batch_answers_like_generate(tmp_path, items, generation):
    """With every rule that a checkpoint's generation config can add."""
    folder = checkpoint_with(tmp_path / "checkpoint", "vanilla", **generation)
    model = Qwen25.load(LoadOptions(str(folder)))
    expected = answers_one_by_one(folder, items)
    assert list(model.run_batch(items).texts) == expected
    assert list(model.run_plain(items[:1]).texts) == expected[:1]


@pytest.mark.parametrize("penalty", [pytest.param(1.0, marks=pytest.mark.full), 1.3])
def test_answers_of_many_tokens_agree_to_the_last(babbler, items, penalty):
    """Random weights babble on for all 20 tokens; each row is penalised for its own ids only."""
    config = json.loads((babbler / "generation_config.json").read_text())
    (babbler / "generation_config.json").write_text(json.dumps(config | {"repetition_penalty": penalty}))
    expected = answers_one_by_one(babbler, items)
    assert max(len(text) for pair in expected for text in pair) > 20
    assert list(Qwen25.load(LoadOptions(str(babbler))).run_batch(items).texts) == expected


def test_rules_are_prepared_once_for_prompts_of_one_length(tmp_path, items, monkeypatch):
    """However many rows of a batch have it: `generate` prepares them, and a GPU waits meanwhile."""
    model = Qwen25.load(LoadOptions(str(checkpoint_with(tmp_path / "c", "2m", repetition_penalty=1.05))))
    prepared = []
    prepare = GreedyDecoder._prepare
    monkeypatch.setattr(
        GreedyDecoder, "_prepare", lambda self, ids: prepared.append(ids.shape[1]) or prepare(self, ids)
    )
    whole = model.run_batch(items)
    assert len(prepared) == len(set(prepared)) > 1
    assert model.run_batch(items[:3]).texts == whole.texts[:3]
    assert len(prepared) == len(set(prepared))


def test_the_manifest_names_what_shapes_an_answer(tmp_path):
    """Processors and end tokens, as transformers made them from the checkpoint's config."""
    folder = checkpoint_with(tmp_path / "c", "2m", repetition_penalty=1.05, eos_token_id=[430, 428])
    manifest = Qwen25.load(LoadOptions(str(folder))).info.manifest
    assert manifest["logits_processors"] == ["RepetitionPenaltyLogitsProcessor"]
    assert (manifest["end_tokens"], manifest["max_new_tokens"]) == ([428, 430], 20)
    assert Qwen25.load(LoadOptions(str(CHECKPOINTS / "2m"))).info.manifest["logits_processors"] == []


def test_a_beam_search_in_the_config_is_not_followed(tmp_path, items):
    """Decoding is greedy, also in the plain run."""
    folder = checkpoint_with(tmp_path / "c", "vanilla", num_beams=3, min_new_tokens=4)
    greedy = checkpoint_with(tmp_path / "g", "vanilla", min_new_tokens=4)
    model = Qwen25.load(LoadOptions(str(folder)))
    expected = answers_one_by_one(greedy, items[:2])
    assert list(model.run_batch(items[:2]).texts) == expected
    assert list(model.run_plain(items[:2]).texts) == expected


@pytest.mark.parametrize("generation", [{"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 1}, {}])
def test_a_prompt_given_as_embeddings_is_not_penalised(generation):
    """``generate`` does not know its ids, so its processors see the answer alone; prompts' lengths do not matter."""
    torch.manual_seed(5)
    config = Qwen2Config(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        eos_token_id=39,
    )
    model = Qwen2ForCausalLM(config).eval()
    model.generation_config.update(**generation, eos_token_id=39, pad_token_id=39)
    prompts = torch.randint(0, 39, (3, 12))
    embedded = model.get_input_embeddings()(prompts).detach()
    seen = prompts

    def step(tokens):
        nonlocal seen
        seen = torch.cat([seen, tokens], dim=1)
        return model(input_ids=seen).logits[:, -1]

    decoder = GreedyDecoder(model, None, embedded=True)
    ours, _ = decoder.decode(prompts.tolist(), model(input_ids=prompts).logits[:, -1], step)
    expected = [
        model.generate(
            inputs_embeds=row[None],
            attention_mask=torch.ones(1, 12),
            **greedy_options(model, None),
        )[0].tolist()
        for row in embedded
    ]
    assert ours == expected
