"""Parts of a pre-norm transformer layer as functions of tensors, so that one compiled graph serves every layer.

Layers are cut at attention: everything between the attention of one layer and that of the next is one
function, :meth:`Layers.between`. On a GPU it is compiled, which fuses the work between the matrix products.
The number of tokens is dynamic, so no batch compiles anything again, except one with too many elements to
count in 32 bits. The first call always has the same length, and autotuning is off wherever PyTorch allows it.
A batch therefore yields the same bits on every GPU of a kind, and in a run that resumes after a kill.

Query, key and value are computed as one matrix product, and so are gate and up. Their weights move into one
tensor, and the model's own modules become views of it: nothing is stored twice, and the model's own forward
still works.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from vlmprobe.families.worker.faults import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

__all__ = ["Compiled", "LayerWeights", "Layers", "pad_columns", "rms_norm", "stack_rows"]

#: On a GPU, a matrix product whose inner size is not a multiple of 8 falls back to an old, slow kernel.
_GOOD_SIZE = 128
#: Maximum number of graphs per function, one for each size of model in this process.
_MOST_GRAPHS = 64
#: Number of tokens in the call that compiles a function.
_FIRST_LENGTH = 4096
#: How many of the arguments of :func:`_between` are the next layer's.
_N_BEFORE = 6


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


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of (tokens, heads, head_dim) by (tokens, head_dim)."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x * cos[:, None] + turned * sin[:, None]).to(x.dtype)


def _before(x: Tensor, cos: Tensor, sin: Tensor, *weights: Any) -> tuple[Tensor, Tensor, Tensor]:
    norm, eps, qkv, bias, n_heads, n_kv = weights
    made = functional.linear(rms_norm(x, norm, eps), qkv, bias).view(x.shape[0], -1, cos.shape[-1])
    query, key, value = torch.split(made, [n_heads, n_kv, n_kv], dim=1)
    return _rotated(query, cos, sin), _rotated(key, cos, sin), value


def _after(x: Tensor, attention: Tensor, *weights: Any) -> Tensor:
    out, out_bias, norm, eps, gate_up, gate_up_bias, down, down_bias = weights
    x = _added(x, attention, out, out_bias)
    gate, up = functional.linear(rms_norm(x, norm, eps), gate_up, gate_up_bias).chunk(2, dim=-1)
    return _added(x, functional.silu(gate) * up, down, down_bias)


def _between(
    x: Tensor, attention: Tensor, cos: Tensor, sin: Tensor, *weights: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = _after(x, attention, *weights[:-_N_BEFORE])
    return x, *_before(x, cos, sin, *weights[-_N_BEFORE:])


def _added(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """X + y weight^T (+ bias); without a bias the sum is part of the product."""
    return torch.addmm(x, y, weight.t()) if bias is None else x + functional.linear(y, weight, bias)


class Layers:
    """The work before, between and after the attention of a stack of layers; compiled if wanted."""

    def __init__(self, eps: float, n_heads: int, n_kv: int, *, compiled: Compiled) -> None:
        self._eps, self._n_heads, self._n_kv = eps, n_heads, n_kv
        self._run = compiled

    def before(
        self, x: Tensor, weights: LayerWeights, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of a layer, each (tokens, heads, head_dim), from its input (tokens, dim)."""
        found: tuple[Tensor, Tensor, Tensor] = self._run(_before, (x, cos, sin), *self._of_before(weights))
        return found

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
        of_both = (*self._of_after(weights), *self._of_before(following))
        found: tuple[Tensor, Tensor, Tensor, Tensor] = self._run(_between, (x, attention, cos, sin), *of_both)
        return found

    def after(self, x: Tensor, attention: Tensor, weights: LayerWeights) -> Tensor:
        """Return a layer's output, (tokens, dim), from its input and its attention (tokens, heads * head_dim)."""
        found: Tensor = self._run(_after, (x, attention), *self._of_after(weights))
        return found

    def _of_before(self, w: LayerWeights) -> tuple[Any, ...]:
        return w.norm_in, self._eps, w.qkv, w.qkv_bias, self._n_heads, self._n_kv

    def _of_after(self, w: LayerWeights) -> tuple[Any, ...]:
        mlp = (w.norm_mlp, self._eps, w.gate_up, w.gate_up_bias, w.down, w.down_bias)
        return (w.out, w.out_bias, *mlp)


class Compiled:
    """Compiles functions of tensors on first use; if that fails, runs them as they are and records why."""

    def __init__(self, *, wanted: bool) -> None:
        self.state = "on" if wanted else "off"
        """``off``, ``on``, or why a function could not be compiled."""
        self._made: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._compiled_for: set[tuple[Any, ...]] = set()

    def __call__(self, function: Callable[..., Any], tensors: tuple[Tensor, ...], *rest: Any) -> Any:
        """Return ``function(*tensors, *rest)``; the tensors may have any length above one on their first axis."""
        if self.state != "on" or len(tensors[0]) < 2:
            return function(*tensors, *rest)
        sizes = (function, *(_kind(each) for each in tensors), *(_kind(each, whole=True) for each in rest))
        try:
            # Each stack of layers gets a graph for its own sizes: one for any size runs at half the speed.
            with (
                torch._dynamo.config.patch(automatic_dynamic_shapes=False, recompile_limit=_MOST_GRAPHS),
                _chosen_without_measuring(),
            ):
                if sizes not in self._compiled_for:
                    # The first call's length affects how the compiler splits a sum among threads.
                    first = [_of_first_length(tensor) for tensor in tensors]
                    self._compiled(function)(*_marked(first), *rest)
                    del first
                    self._compiled_for.add(sizes)
                return self._compiled(function)(*_marked(tensors), *rest)
        except torch._dynamo.exc.TorchDynamoException as error:
            # For example a missing compiler; the numbers do not depend on it.
            self.state = f"off: {first_line(error, most=200)}"
        return function(*tensors, *rest)

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if function not in self._made:
            self._made[function] = torch.compile(function)
        return self._made[function]


def _chosen_without_measuring() -> AbstractContextManager[Any]:
    """Turn off autotuning, so that measured times do not decide the order of sums in compiled kernels.

    Processes with empty compiler caches, on two H100 in bfloat16, differed in the last bits of 5 to 15 pairs of 60;
    with this and a first call of one length, in none. We did not isolate which of the two fixed it.
    """
    import torch._inductor.config as config

    if not hasattr(config, "deterministic"):  # an older PyTorch
        return nullcontext()
    patched: AbstractContextManager[Any] = config.patch(deterministic=True)
    return patched


def _kind(each: Any, *, whole: bool = False) -> Any:
    """Return what requires a new compilation: a tensor's sizes, all or all but the length, or the value."""
    return (each.dtype, each.shape if whole else each.shape[1:]) if isinstance(each, torch.Tensor) else each


def _of_first_length(tensor: Tensor) -> Tensor:
    size = (_FIRST_LENGTH, *tensor.shape[1:])
    return tensor.new_empty_strided(size, tensor.stride()).zero_()


def _marked(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    for tensor in tensors:
        torch._dynamo.mark_dynamic(tensor, 0)
    return tensors


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
