"""The fast forward is Qwen2.5-VL's own, and a tokenizer's answers are one token each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from vlmprobe.demo.training import model as training_model
from vlmprobe.demo.training.model import FastForward, check_forward, make_model
from vlmprobe.demo.training.sentences import ANSWERS
from vlmprobe.demo.training.tokenizer import build_tokenizer
from vlmprobe.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vlmprobe.demo.training.config import TrainingConfig
    from vlmprobe.demo.training.lessons import Prompts


@pytest.mark.parametrize("image_size", [56, 140, 168])
def test_the_fast_forward_gives_the_logits_of_transformers(
    image_size: int, toy: TrainingConfig, prompts: Prompts, tokenizer: Tokenizer
) -> None:
    """With large random weights, so that every part matters; at sizes with one window of attention and several."""
    model = make_model(toy.model, tokenizer, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    assert check_forward(model, prompts, image_size) < 1e-4


def test_another_computation_is_refused(
    toy: TrainingConfig, prompts: Prompts, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of transformers that rotates differently, say: what was trained would not be what is loaded."""
    model = make_model(toy.model, tokenizer, seed=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    monkeypatch.setattr(training_model, "_ROPE_THETA", 500.0)
    with pytest.raises(ModelError, match=r"transformers .* computes Qwen2.5-VL differently"):
        check_forward(model, prompts, 56)


def test_several_questions_about_an_image_are_answered_as_one_by_one(
    toy: TrainingConfig, prompts: Prompts, tokenizer: Tokenizer
) -> None:
    """Neither the other questions nor the padding change a state."""
    model = make_model(toy.model, tokenizer, seed=2)
    fast = FastForward(model, prompts, 56)
    pixels = torch.rand(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    rows = [0, 40, 500, 9]
    ids = torch.from_numpy(prompts.ids[rows])
    with torch.no_grad():
        together = fast.text(fast.images(pixels), ids)[-1]
        for place, row in enumerate(rows):
            length = prompts.lengths[row]
            alone = fast.text(
                fast.images(pixels[place // 2 : place // 2 + 1]), ids[place : place + 1, :length]
            )[-1]
            end = fast.n_before + fast.n_image + length
            assert torch.allclose(together[place, :end], alone[0], atol=1e-5)


def test_weights_are_a_function_of_the_seed(toy: TrainingConfig, tokenizer: Tokenizer) -> None:
    """And of nothing that was drawn before."""
    torch.manual_seed(9)
    first, again, other = (make_model(toy.model, tokenizer, seed=seed).state_dict() for seed in (1, 1, 2))
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_every_answer_is_one_token_of_its_own(tokenizer: Tokenizer) -> None:
    """The first place of an answer tells it from all others."""
    ids = [tokenizer.encode(answer).ids for answer in ANSWERS]
    assert all(len(each) == 1 for each in ids)
    assert len({each[0] for each in ids}) == len(ANSWERS)


def test_the_tokenizer_is_the_same_each_time_and_loses_nothing(
    tokenizer: Tokenizer, prompts: Prompts
) -> None:
    """Grown anew it gives the same tokens, and decoding gives the text back."""
    assert build_tokenizer().to_str() == tokenizer.to_str()
    for text in (*prompts.texts[::997], "Außer-gewöhnliches: {}\n 42"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text
