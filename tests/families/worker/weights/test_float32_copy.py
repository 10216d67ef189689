"""The float32 reference of a half-precision model, whose matrices stay as they are."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vlmprobe.families.worker.weights.float32_copy import SplitLinear, float32_copy, n_copied, split

needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
#: Of float32: what a sum of products of 64 numbers may lose.
ROUNDING = 1e-6


class Block(nn.Module):
    """Two linear layers, a norm, and an embedding that shares its weight with the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 64)
        self.up = nn.Linear(64, 96)
        self.norm = nn.LayerNorm(96)
        self.down = nn.Linear(96, 64, bias=False)
        self.head = nn.Linear(64, 50, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = self.words(ids)
        return self.head(states + self.down(self.norm(self.up(states)).relu()))


@pytest.fixture
def block() -> nn.Module:
    """Return a model in bfloat16."""
    torch.manual_seed(0)
    return Block().bfloat16().requires_grad_(requires_grad=False)


@given(st.lists(st.floats(width=32, min_value=2.0**-80, max_value=2.0**80), min_size=1), st.booleans())
def test_three_bfloat16_numbers_add_up_to_any_float32_number(values, negative):
    """Three times eight bits are the mantissa of float32."""
    states = torch.tensor(values) * (-1 if negative else 1)
    first, second, third = (part.double() for part in split(states))
    assert torch.equal(first + second + third, states.double())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_a_gpu)])
def test_a_split_layer_is_as_exact_as_float32(device):
    """It is a thousand times closer to float64 than bfloat16 is."""
    torch.manual_seed(1)
    linear = nn.Linear(64, 96, dtype=torch.bfloat16, device=device).requires_grad_(requires_grad=False)
    states = torch.randn(3, 5, 64, device=device) * torch.randn(64, device=device).exp()
    true = nn.functional.linear(states.double(), linear.weight.double(), linear.bias.double())
    found = SplitLinear(linear)(states)
    assert found.dtype == torch.float32
    assert float((found - true).norm() / true.norm()) < 2 * ROUNDING
    # One product alone is what bfloat16 makes of it.
    rounded = linear(states.bfloat16())
    assert float((rounded - true).norm() / true.norm()) > 1000 * ROUNDING


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_a_gpu)])
def test_a_split_copy_computes_what_a_whole_copy_does(block, device):
    """Up to rounding; without a split it is the whole copy."""
    block = block.to(device)
    ids = torch.arange(50, device=device)[None]
    whole = copy.deepcopy(block).float()
    np.testing.assert_allclose(
        float32_copy(block, split=True)(ids).cpu(), whole(ids).cpu(), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(float32_copy(block, split=False)(ids), whole(ids), rtol=0, atol=0)


def test_matrices_are_shared_and_the_rest_is_copied(block):
    """The copy takes no memory for matrices, and leaves the model as it was."""
    before = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    copied = float32_copy(block, split=True)
    assert copied.up.weight.data_ptr() == block.up.weight.data_ptr()
    # The embedding is looked up, and not multiplied with; the head that shares its weight is.
    assert copied.words.weight.dtype == torch.float32
    assert copied.head.weight.data_ptr() == block.head.weight.data_ptr()
    assert n_copied(block, split=True) == 50 * 64 + 2 * 96
    assert n_copied(block, split=False) == sum(weight.numel() for weight in block.parameters())
    for name, tensor in block.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_layer_that_something_has_changed_is_copied(block):
    """What a hook or a forward of its own does must happen in the copy, too."""
    block.down.register_forward_pre_hook(lambda *_: None)
    block.up.forward = block.up.forward
    copied = float32_copy(block, split=True)
    assert type(copied.down) is nn.Linear
    assert type(copied.up) is nn.Linear
