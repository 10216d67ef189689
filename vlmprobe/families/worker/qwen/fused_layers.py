"""Parts of a pre-norm transformer layer as functions of packed tokens, with the same code for every layer.

Layers are cut at attention: everything between the attention of one layer and that of the next is one call,
:meth:`Layers.between`. It consists of matrix products, which PyTorch's libraries compute, and of what lies between
them: norms, sums, rotations and gates. A GPU would move each value through its memory several times for those, so
kernels of our own do each in one pass (:mod:`kernels`); a CPU does them by PyTorch's own operations.

Query, key and value are computed as one matrix product, and so are gate and up. Their weights move into one
tensor, and the model's own modules become views of it: nothing is stored twice, and the model's own forward
still works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn import functional

from vlmprobe.families.worker.faults import first_line
from vlmprobe.families.worker.loading.devices import on_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

__all__ = [
    "LayerWeights",
    "Layers",
    "Operations",
    "Plain",
    "Sizes",
    "operations_for",
    "pad_columns",
    "rms_norm",
    "stack_rows",
]

#: On a GPU, a matrix product whose inner size is not a multiple of 8 falls back to an old, slow kernel.
_GOOD_SIZE = 128


@dataclass(frozen=True)
class LayerWeights:
    """One layer's weights; ``qkv`` and ``gate_up`` are stacked along their outputs."""

    norm_in: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    norm_mlp: Tensor
    gate_up: Tensor
    gate_up_bias: Tensor | None
    down: Tensor
    down_bias: Tensor | None


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm over the last axis, computed in float32."""
    wide = x.float()
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


class Operations(Protocol):
    """What is done between the matrix products of a layer; ``x``: (tokens, dim)."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Return the root-mean-square norm over the last axis."""

    def add(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return x + y weight^T (+ bias); ``x`` may be overwritten."""

    def add_and_norm(
        self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None, norm: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Return that sum and its norm; ``x`` may be overwritten."""

    def rotate(self, made: Tensor, cos: Tensor, sin: Tensor, n_heads: int, n_kv: int) -> list[Tensor]:
        """Return query, key and value, (tokens, heads, head_dim) each, the first two rotated.

        Args:
            made: (tokens, all heads, head_dim); may be overwritten.
            cos: of the tokens' angles, (tokens, head_dim), float32.
            sin: the same.
            n_heads: heads of the query.
            n_kv: heads of key and value each.
        """

    def gate(self, gate_up: Tensor) -> Tensor:
        """Return silu(gate) * up, (tokens, inner), of (tokens, 2 * inner)."""


class Plain:
    """The operations by PyTorch's own."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """See :meth:`Operations.norm`."""
        return rms_norm(x, weight, eps)

    def add(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """See :meth:`Operations.add`; without a bias the sum is part of the product."""
        return torch.addmm(x, y, weight.t()) if bias is None else x + functional.linear(y, weight, bias)

    def add_and_norm(
        self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None, norm: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`Operations.add_and_norm`."""
        x = self.add(x, y, weight, bias)
        return x, rms_norm(x, norm, eps)

    def rotate(self, made: Tensor, cos: Tensor, sin: Tensor, n_heads: int, n_kv: int) -> list[Tensor]:
        """See :meth:`Operations.rotate`."""
        query, key, value = torch.split(made, [n_heads, n_kv, n_kv], dim=1)
        return [_rotated(query, cos, sin), _rotated(key, cos, sin), value]

    def gate(self, gate_up: Tensor) -> Tensor:
        """See :meth:`Operations.gate`."""
        gate, up = gate_up.chunk(2, dim=-1)
        return functional.silu(gate) * up


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (tokens, heads, head_dim) by (tokens, head_dim)."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x * cos[:, None] + turned * sin[:, None]).to(x.dtype)


class Layers:
    """The work before, between and after the attention of a stack of layers.

    What is passed as ``x`` may be overwritten.
    """

    def __init__(self, eps: float, n_heads: int, n_kv: int, operations: Operations) -> None:
        self._eps, self._n_heads, self._n_kv = eps, n_heads, n_kv
        self._do = operations

    def before(self, x: Tensor, weights: LayerWeights, cos: Tensor, sin: Tensor) -> list[Tensor]:
        """Return query, key and value of a layer, each (tokens, heads, head_dim), from its input (tokens, dim)."""
        return self._heads(self._do.norm(x, weights.norm_in, self._eps), weights, cos, sin)

    def between(
        self,
        x: Tensor,
        attention: Tensor,
        weights: LayerWeights,
        following: LayerWeights,
        cos: Tensor,
        sin: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return a layer's output and the next one's query, key and value."""
        x, inner = self._inner(x, attention, weights)
        x, normed = self._do.add_and_norm(
            x, inner, weights.down, weights.down_bias, following.norm_in, self._eps
        )
        query, key, value = self._heads(normed, following, cos, sin)
        return x, query, key, value

    def after(self, x: Tensor, attention: Tensor, weights: LayerWeights) -> Tensor:
        """Return a layer's output, (tokens, dim), from its input and its attention (tokens, heads * head_dim)."""
        x, inner = self._inner(x, attention, weights)
        return self._do.add(x, inner, weights.down, weights.down_bias)

    def _heads(self, normed: Tensor, weights: LayerWeights, cos: Tensor, sin: Tensor) -> list[Tensor]:
        made = functional.linear(normed, weights.qkv, weights.qkv_bias)
        shaped = made.view(len(normed), -1, cos.shape[-1])
        return self._do.rotate(shaped, cos, sin, self._n_heads, self._n_kv)

    def _inner(self, x: Tensor, attention: Tensor, weights: LayerWeights) -> tuple[Tensor, Tensor]:
        """Return the sum after the attention, and what the last product of the layer takes."""
        x, normed = self._do.add_and_norm(
            x, attention, weights.out, weights.out_bias, weights.norm_mlp, self._eps
        )
        return x, self._do.gate(functional.linear(normed, weights.gate_up, weights.gate_up_bias))


def stack_rows(linears: Sequence[nn.Linear], pad: bool = False) -> tuple[Tensor, Tensor | None]:
    """Move the weights of some layers into one tensor; the layers' own weights become views of it.

    Args:
        linears: layers with the same input; all of them have a bias, or none has.
        pad: whether each gets rows of zeros up to a good size for a matrix product.

    Returns:
        Weight (outputs, inputs) and bias, of all layers one after the other.
    """
    sizes = [linear.out_features for linear in linears]
    padded = [_padded(size) if pad else size for size in sizes]
    like = linears[0].weight
    weight = like.new_zeros((sum(padded), like.shape[1]))
    bias = None if linears[0].bias is None else like.new_zeros(sum(padded))
    start = 0
    for linear, size, room in zip(linears, sizes, padded, strict=True):
        weight[start : start + size] = linear.weight
        linear.weight.data = weight[start : start + size]
        if bias is not None:
            bias[start : start + size] = linear.bias
            linear.bias.data = bias[start : start + size]
        start += room
    return weight, bias


def pad_columns(linear: nn.Linear) -> Tensor:
    """Pad a layer's weight with zero columns to a good size; the layer's own weight becomes a view of it."""
    outputs, inputs = linear.weight.shape
    if _padded(inputs) == inputs:
        return linear.weight.data
    weight = linear.weight.new_zeros((outputs, _padded(inputs)))
    weight[:, :inputs] = linear.weight
    linear.weight.data = weight[:, :inputs]
    return weight


def _padded(size: int) -> int:
    return size if size % 8 == 0 else -(-size // _GOOD_SIZE) * _GOOD_SIZE


@dataclass(frozen=True)
class Sizes:
    """Of a model, what its kernels are compiled for."""

    dim: int
    inner: int
    n_heads: int
    n_kv: int
    head_dim: int
    biased_dim: int
    """The width of a stack whose layers have biases."""

    @classmethod
    def of(cls, config: Any) -> Sizes:
        """Read them from a model's config; a kernel for another size is compiled on first use."""
        text = config.get_text_config()
        dim, n_heads = text.hidden_size, text.num_attention_heads
        vision = getattr(config.vision_config, "hidden_size", dim)
        return cls(dim, text.intermediate_size, n_heads, text.num_key_value_heads, dim // n_heads, vision)


def operations_for(
    device: torch.device, dtype: torch.dtype, config: Any, *, wanted: bool
) -> tuple[Operations, str]:
    """Return what is done between matrix products, and whether it is compiled: ``on``, ``off``, or why not."""
    if not wanted:
        return Plain(), "off"
    try:
        from vlmprobe.families.worker.qwen.kernels import Kernels

        with on_device(device):
            return Kernels.tried(device, dtype, Sizes.of(config)), "on"
    # For example no compiler; the numbers are the same but for rounding.
    except Exception as error:  # noqa: BLE001
        return Plain(), f"off: {first_line(error, most=200)}"
