"""What lies between the matrix products of a layer as kernels for a GPU: each value is read and written once.

They are written in Triton, which comes with PyTorch for GPUs. It compiles a kernel on first use, in about half a
second, and keeps it on disk for later processes. Nothing about them is measured or depends on the number of tokens, so
a batch yields the same bits on every GPU of a kind, and in a run that resumes after a kill. Sums are in float32, and a
value is rounded once, when it is written.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from vlmprobe.families.worker.qwen.fused_layers import Sizes

__all__ = ["Kernels"]

#: Values of a gate that one program computes.
_GATE_BLOCK = 1024


@triton.jit
def _norm(x, weight, normed, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * WIDTH
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    value = tl.load(x + start + columns, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value, axis=0) / WIDTH + eps)
    gain = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + start + columns, (value * scale * gain).to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _add_norm(x, y, weight, normed, eps, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * WIDTH
    columns = tl.arange(0, BLOCK)
    inside = columns < WIDTH
    value = tl.load(x + start + columns, mask=inside, other=0.0).to(tl.float32)
    value += tl.load(y + start + columns, mask=inside, other=0.0).to(tl.float32)
    # The norm is of the sum as it is kept.
    kept = value.to(x.dtype.element_ty)
    tl.store(x + start + columns, kept, mask=inside)
    value = kept.to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value, axis=0) / WIDTH + eps)
    gain = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + start + columns, (value * scale * gain).to(normed.dtype.element_ty), mask=inside)


@triton.jit
def _rotate(
    made,
    cos,
    sin,
    ROW: tl.constexpr,
    HEADS: tl.constexpr,
    HALF: tl.constexpr,
    HEAD_BLOCK: tl.constexpr,
    HALF_BLOCK: tl.constexpr,
):
    token = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEAD_BLOCK)[:, None]
    place = tl.arange(0, HALF_BLOCK)[None, :]
    inside = (head < HEADS) & (place < HALF)
    first = made + token * ROW + head * 2 * HALF + place
    one = tl.load(first, mask=inside, other=0.0).to(tl.float32)
    other = tl.load(first + HALF, mask=inside, other=0.0).to(tl.float32)
    turn = token * 2 * HALF + place
    in_half = place < HALF
    one_cos = tl.load(cos + turn, mask=in_half, other=0.0)
    one_sin = tl.load(sin + turn, mask=in_half, other=0.0)
    other_cos = tl.load(cos + turn + HALF, mask=in_half, other=0.0)
    other_sin = tl.load(sin + turn + HALF, mask=in_half, other=0.0)
    kind = made.dtype.element_ty
    tl.store(first, (one * one_cos - other * one_sin).to(kind), mask=inside)
    tl.store(first + HALF, (other * other_cos + one * other_sin).to(kind), mask=inside)


@triton.jit
def _gate(gate_up, gated, INNER: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < INNER
    gate = tl.load(gate_up + token * 2 * INNER + columns, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + token * 2 * INNER + INNER + columns, mask=inside, other=0.0).to(tl.float32)
    value = gate * tl.sigmoid(gate) * up
    tl.store(gated + token * INNER + columns, value.to(gated.dtype.element_ty), mask=inside)


class Kernels:
    """The operations of :class:`~vlmprobe.families.worker.qwen.fused_layers.Operations` on a GPU."""

    def norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """Return the root-mean-square norm over the last axis."""
        x = x.contiguous()
        normed = torch.empty_like(x)
        width = x.shape[1]
        _norm[(len(x),)](x, weight, normed, eps, WIDTH=width, BLOCK=triton.next_power_of_2(width))
        return normed

    def add(self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Add y weight^T (+ bias) to ``x`` in place."""
        return x.addmm_(y, weight.t()) if bias is None else x.add_(functional.linear(y, weight, bias))

    def add_and_norm(
        self, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None, norm: Tensor, eps: float
    ) -> tuple[Tensor, Tensor]:
        """Add y weight^T (+ bias) to ``x`` in place; return it and its norm."""
        if bias is None:
            # The sum is part of the product.
            x.addmm_(y, weight.t())
            return x, self.norm(x, norm, eps)
        more = functional.linear(y, weight, bias)
        normed = torch.empty_like(x)
        width = x.shape[1]
        _add_norm[(len(x),)](x, more, norm, normed, eps, WIDTH=width, BLOCK=triton.next_power_of_2(width))
        return x, normed

    def rotate(self, made: Tensor, cos: Tensor, sin: Tensor, n_heads: int, n_kv: int) -> list[Tensor]:
        """Rotate query and key in place; all three are views of ``made``."""
        tokens, heads, head_dim = made.shape
        half = head_dim // 2
        _rotate[(tokens,)](
            made,
            cos.contiguous(),
            sin.contiguous(),
            ROW=heads * head_dim,
            HEADS=n_heads + n_kv,
            HALF=half,
            HEAD_BLOCK=triton.next_power_of_2(n_heads + n_kv),
            HALF_BLOCK=triton.next_power_of_2(half),
        )
        return list(torch.split(made, [n_heads, n_kv, n_kv], dim=1))

    def gate(self, gate_up: Tensor) -> Tensor:
        """Return silu(gate) * up."""
        tokens, inner = gate_up.shape[0], gate_up.shape[1] // 2
        gated = gate_up.new_empty((tokens, inner))
        _gate[(tokens, triton.cdiv(inner, _GATE_BLOCK))](gate_up, gated, INNER=inner, BLOCK=_GATE_BLOCK)
        return gated

    @classmethod
    def tried(cls, device: torch.device, dtype: torch.dtype, sizes: Sizes) -> Kernels:
        """Return the kernels after each was compiled and run once, for sizes that the model's layers have.

        Raises:
            Exception: whatever Triton raises where it cannot compile, for want of a C compiler, for example.
        """
        kernels = cls()
        with torch.inference_mode():
            # In the model's own format: a kernel is compiled for each, and old GPUs lack bfloat16.
            x = torch.ones((2, sizes.dim), device=device, dtype=dtype)
            kernels.norm(x, x.new_ones(sizes.dim), 1e-6)
            wide = x.new_ones((2, sizes.biased_dim))
            weight, bias = x.new_ones((sizes.biased_dim, sizes.biased_dim)), x.new_ones(sizes.biased_dim)
            kernels.add_and_norm(wide, wide, weight, bias, bias, 1e-6)
            turn = torch.ones((2, sizes.head_dim), device=device)
            made = x.new_ones((2, sizes.n_heads + 2 * sizes.n_kv, sizes.head_dim))
            kernels.rotate(made, turn, turn, sizes.n_heads, sizes.n_kv)
            kernels.gate(x.new_ones((2, 2 * sizes.inner)))
        return kernels
