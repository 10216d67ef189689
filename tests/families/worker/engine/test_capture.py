"""Hooks collect the last prompt token's output of the first forward, and leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from vlmprobe.families.worker import UsageFault
from vlmprobe.families.worker.engine.capture import LastTokenCapture, kept_layers, to_numpy


class AddOne(nn.Module):
    """A layer that returns a tuple, as remote code's layers do."""

    def forward(self, states):
        return (states + 1, "cache")


@pytest.fixture
def layers():
    """Offer a layer that returns a tensor and one that returns a tuple."""
    return [nn.Identity(), AddOne()]


def test_the_last_token_of_each_layer(layers):
    """(rows, tokens, dim) in, (layers, rows, dim) out."""
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    with LastTokenCapture(layers) as capture:
        layers[1](layers[0](states))
    assert capture.stacked().tolist() == [[[3.0, 4.0]], [[4.0, 5.0]]]


def test_only_the_first_forward_counts(layers):
    """Later ones are generated tokens."""
    with LastTokenCapture(layers[:1]) as capture:
        layers[0](torch.tensor([[[1.0]]]))
        layers[0](torch.tensor([[[9.0]]]))
    assert capture.stacked().tolist() == [[[1.0]]]


def test_right_padded_rows_have_their_last_token_each_elsewhere(layers):
    """An index per row."""
    states = torch.tensor([[[1.0], [2.0], [0.0]], [[3.0], [0.0], [0.0]]])
    with LastTokenCapture(layers[:1], torch.tensor([1, 0])) as capture:
        layers[0](states)
    assert capture.stacked().tolist() == [[[2.0], [3.0]]]


def test_what_is_kept_is_a_copy(layers):
    """A view would keep the whole sequence alive, and change with it."""
    states = torch.ones(1, 2, 1)
    with LastTokenCapture(layers[:1]) as capture:
        layers[0](states)
    states.zero_()
    assert capture.stacked().tolist() == [[[1.0]]]


def test_the_hooks_are_removed_also_after_an_error(layers):
    """A failed batch leaves the model as it was, and the output is never changed."""
    with pytest.raises(RuntimeError, match="boom"), LastTokenCapture(layers):
        raise RuntimeError("boom")
    assert not any(layer._forward_hooks for layer in layers)


def test_a_layer_that_did_not_run_is_an_error(layers):
    """No state is made up."""
    with LastTokenCapture(layers) as capture:
        layers[0](torch.ones(1, 1, 1))
    with pytest.raises(RuntimeError, match=r"positions \[1\] did not run"):
        capture.stacked()


def test_bfloat16_leaves_as_bits():
    """1.0 and -2.0 in bfloat16."""
    found = to_numpy(torch.tensor([1.0, -2.0], dtype=torch.bfloat16))
    assert found.dtype == np.uint16
    assert found.tolist() == [0x3F80, 0xC000]
    assert to_numpy(torch.tensor([1.5], dtype=torch.float16)).dtype == np.float16


def test_which_layers_are_kept():
    """All by default; otherwise those asked for, ascending, each once."""
    assert kept_layers(None, 3) == (0, 1, 2)
    assert kept_layers((5, 0, 5), 6) == (0, 5)
    with pytest.raises(UsageFault, match="--layers: layer 6 does not exist; this model has layers 0 to 5"):
        kept_layers((0, 6), 6)
    with pytest.raises(UsageFault, match="no layer was selected"):
        kept_layers((), 6)
