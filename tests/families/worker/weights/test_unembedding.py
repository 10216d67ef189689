"""The output layer of a model: rows of words, the gain before them, and the covariance of all rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vlmprobe.families import LoadOptions, open_family
from vlmprobe.families.worker.weights.unembedding import (
    CONTROLS,
    control_tokens,
    embeddings,
    final_norm,
    read_unembedding,
)
from vlmprobe.families.worker.wire import protocol

from ...conftest import CHECKPOINTS

DIM, VOCABULARY = 6, 40
WORDS = ["left", "right", "yes", "no"]


class PlusOneNorm(nn.Module):
    """An RMS norm whose gain is its weight plus 1, as Gemma's is."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.arange(DIM) / 10)

    def forward(self, states):
        return states * torch.rsqrt(states.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight)


class Decoder(nn.Module):
    """Layers, and what is beside them."""

    def __init__(self, **norms):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)])
        for name, norm in norms.items():
            setattr(self, name, norm)


class Words:
    """A tokenizer of some words, each a token."""

    def __init__(self, texts):
        self.texts = texts

    def __len__(self):
        return len(self.texts)

    def convert_ids_to_tokens(self, ids):
        return [self.texts[each] for each in ids]


def layer_norm():
    """Make a norm with a bias, which is no gain."""
    norm = nn.LayerNorm(DIM)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(DIM) + 1.0)
        norm.bias.fill_(3.0)
    return norm


def read(norm, head=None, words=("\u0120house", "\u2581tree")):
    """Read a small output layer."""
    head = head or nn.Linear(DIM, VOCABULARY, bias=False)
    tokenizer = Words([*words, *["x"] * (VOCABULARY - len(words))])
    return read_unembedding(head, norm, tokenizer, {"left": (3, None, 5, 3)})


@torch.inference_mode()
@pytest.mark.parametrize(
    ("norm", "gain"), [(PlusOneNorm, 1 + np.arange(DIM) / 10), (layer_norm, np.arange(DIM) + 1.0)]
)
def test_the_gain_is_what_a_norm_does(norm, gain):
    """Whether its weight is the gain, or 1 less; a bias is not part of it."""
    np.testing.assert_allclose(read(norm()).gain, gain, rtol=1e-5)


@torch.inference_mode()
def test_rows_and_covariance_are_those_of_the_head(monkeypatch):
    """Also of a head whose rows are read in several parts."""
    monkeypatch.setattr("vlmprobe.families.worker.weights.unembedding._CHUNK", 7)
    head = nn.Linear(DIM, VOCABULARY, bias=False)
    found = read(PlusOneNorm(), head)
    weight = head.weight.numpy()
    assert (found.tokens, found.controls, found.n_tokens) == ((0, 1, 3, 5), (0, 1), VOCABULARY)
    np.testing.assert_array_equal(found.rows, weight[[0, 1, 3, 5]])
    np.testing.assert_allclose(found.covariance, np.cov(weight.T, bias=True), atol=1e-6)


def test_what_is_not_an_output_layer_gives_none():
    """Nothing is made up for a head without a matrix, or a norm of another length."""
    assert read(PlusOneNorm(), nn.Identity()) is None
    assert read(nn.LayerNorm(DIM + 1)) is None
    assert embeddings("get_output_embeddings", object(), nn.Identity()) is None


def test_the_final_norm_is_the_one_beside_the_layers():
    """Of several the one that is called so; None where it is not clear."""
    alone = Decoder(ln=layer_norm())
    assert final_norm(nn.Sequential(nn.Identity(), alone), alone.layers[1]) is alone.ln
    two = Decoder(embedding_norm=layer_norm(), norm=layer_norm())
    assert final_norm(two, two.layers[0]) is two.norm
    unclear = Decoder(first_norm=layer_norm(), second_norm=layer_norm())
    assert final_norm(unclear, unclear.layers[0]) is None
    assert final_norm(Decoder(), alone.layers[0]) is None


def test_words_of_the_control_begin_with_a_space_and_are_drawn_once():
    """At most 400, the same whenever they are drawn; pieces, short words and special tokens are none."""
    texts = ["\u0120the", "\u2581Tree", "the", "\u0120it", "\u0120a1b", None, b"\xc4\xa0the"]
    assert control_tokens(Words(texts)) == [0, 1]
    many = Words([f"\u0120{'abc' * (1 + place % 7)}{chr(97 + place % 26)}" for place in range(3000)])
    assert control_tokens(many) == control_tokens(many)
    assert len(set(control_tokens(many))) == CONTROLS


def test_a_checkpoint_reads_its_own_and_the_wire_keeps_every_bit():
    """Of the demo's model: the logits of a normed state are those of the head; as a worker would send it."""
    family = open_family("tiny")
    with family.load(family.resolve(LoadOptions(str(CHECKPOINTS / "2m")))) as model:
        found = model.unembedding(WORDS)
        code = model._family
        norm, head = code.model.model.language_model.norm, code.model.lm_head
        np.testing.assert_allclose(found.gain, norm.weight.detach().numpy(), rtol=1e-5)
        tokens = [token for token in found.spellings["left"] if token is not None]
        places = [found.tokens.index(token) for token in tokens]
        np.testing.assert_array_equal(found.rows[places], head.weight.detach().numpy()[tokens])
        assert found.tied == (head.weight is code.model.get_input_embeddings().weight)
        assert found.n_tokens == len(head.weight)
        assert len(found.controls) > 20
    again = protocol.read_unembedding(*protocol.write_unembedding(found))
    for name in ("rows", "gain", "covariance"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    names = ("spellings", "tokens", "controls", "n_tokens", "tied", "seed")
    assert [getattr(again, name) for name in names] == [getattr(found, name) for name in names]
    assert protocol.read_unembedding(*protocol.write_unembedding(None)) is None
