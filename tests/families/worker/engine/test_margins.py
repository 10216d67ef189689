"""The margin: a log odds of two words over their first tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vlmprobe.families.worker.engine.margins import MarginReader

TOKENS = {
    "left": 0,
    "Left": 1,
    " left": 2,
    " Left": 2,
    "right": 3,
    "Right": 4,
    " right": 5,
    " Right": 6,
    "above": 7,
}


class WordTokenizer:
    """One token a word, another one for its capitalised and its spaced spelling."""

    def encode(self, text, add_special_tokens):
        assert add_special_tokens is False
        return [TOKENS.get(text, 8 if text.startswith(" ") else 7), 9, 9]

    def decode(self, tokens):
        return " " if tokens == [8] else "word"


def test_the_first_tokens_of_all_spellings_count_once():
    """``" left"`` and ``" Left"`` begin with the same token here."""
    assert MarginReader(WordTokenizer()).first_tokens("left") == {0, 1, 2}
    assert MarginReader(WordTokenizer()).first_tokens("right") == {3, 4, 5, 6}


def test_a_margin_is_the_difference_of_two_logsumexps_of_log_p():
    """Against the definition in float64; the swapped words give the negative."""
    logits = np.random.default_rng(0).normal(scale=5, size=(2, 10)).astype(np.float32)
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    expected = np.log(p[:, [0, 1, 2]].sum(axis=1)) - np.log(p[:, [3, 4, 5, 6]].sum(axis=1))
    found = MarginReader(WordTokenizer()).read(torch.tensor(logits), [("left", "right"), ("right", "left")])
    np.testing.assert_allclose(found, [expected[0], -expected[1]], rtol=1e-5)


def test_a_first_token_of_space_alone_is_left_out():
    """``" above"`` begins with a bare space here, which would begin every other word too."""
    assert MarginReader(WordTokenizer()).first_tokens("above") == {7}


def test_words_that_share_a_first_token_have_no_margin():
    """Nothing tells them apart at the first position: NaN, not 0."""
    found = MarginReader(WordTokenizer()).read(torch.zeros(2, 10), [("above", "below"), ("left", "right")])
    assert math.isnan(found[0])
    assert found[1] == pytest.approx(math.log(3 / 4))
