"""Output layers in a home: one file a checkpoint and tokenizer."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.controls import OutputLayer
from vlmprobe.errors import InputError
from vlmprobe.store.output_layers import output_layer_path, read_output_layer, write_output_layer

DIM = 5


@pytest.fixture
def layer():
    """Make a small one, whose covariance is symmetric."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(9, DIM)).astype(np.float32)
    return OutputLayer(
        spellings={"left": (3, 4, None, 4), "right": (5, 4, None, 7)},
        tokens=(3, 4, 5, 7, 9, 11),
        controls=(9, 11),
        rows=rng.normal(size=(6, DIM)).astype(np.float32),
        gain=np.arange(1, DIM + 1, dtype=np.float32),
        covariance=root.T @ root,
        n_tokens=20,
        tied=True,
        seed=0,
    )


def test_what_is_written_is_read_bit_for_bit(layer, tmp_path):
    """Of the covariance, the upper triangle is the lower one's mirror."""
    path = tmp_path / "unembeddings" / "a.safetensors"
    assert read_output_layer(path) is None
    size = write_output_layer(path, layer)
    found = read_output_layer(path)
    for name in ("rows", "gain", "covariance"):
        np.testing.assert_array_equal(getattr(found, name), getattr(layer, name))
    names = ("spellings", "tokens", "controls", "n_tokens", "tied", "seed")
    assert [getattr(found, name) for name in names] == [getattr(layer, name) for name in names]
    assert size == path.stat().st_size < 4 * (6 * DIM + DIM + DIM * (DIM + 1) // 2) + 1000


def test_a_damaged_file_is_one_line_that_says_what_to_do(layer, tmp_path):
    """Cut, or no file of ours."""
    path = tmp_path / "a.safetensors"
    write_output_layer(path, layer)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="--unembedding"):
        read_output_layer(path)


def test_a_file_belongs_to_a_checkpoint_and_its_tokenizer(tmp_path):
    """Other settings of a run make no other file; another processor does, whose tokens may be others."""
    identity = {"fingerprint": "abc", "processor": None, "dtype": "float32"}
    path = output_layer_path(tmp_path, identity)
    assert path == output_layer_path(tmp_path, identity | {"dtype": "bfloat16"})
    assert path.is_relative_to(tmp_path)
    for change in ({"fingerprint": "random-weights:0:abc"}, {"processor": "def"}):
        assert output_layer_path(tmp_path, identity | change) != path


def test_rows_of_opposite_words_are_paired_by_their_spelling(layer):
    """A spelling that is only space, or begins both words alike, is none; the gain is in rows and covariance."""
    assert layer.answers([("left", "right")]) == [(0, 2), (1, 3)]
    assert layer.words == [4, 5]
    np.testing.assert_allclose(layer.scaled_rows[2], layer.rows[2] * layer.gain)
    scaled = np.diag(layer.gain) @ layer.covariance @ np.diag(layer.gain)
    np.testing.assert_allclose(layer.logit_covariance, scaled, rtol=1e-6)
