"""The vision tower of Qwen2.5-VL, run faster than transformers runs it; delete this file when it catches up.

    visual
      patch_embed.proj              a convolution whose step is its size: one matrix product
      blocks[0 .. depth-1]          pre-norm layers; attention within windows of 8x8 patches, in a few over the image
      merger                        2x2 patches -> one vector of the language model's size

What is different, all of it exact up to rounding: the attention of every window of every image is one call (a packed
kernel on a GPU in half precision, else windows padded to one length) where transformers loops over them; gate and up
are one product, its size rounded up with zeros; a GPU has kernels of ours;
what depends on an image's size alone is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from vlmprobe.families.worker.qwen.fused_layers import Layers, LayerWeights, pad_columns, rms_norm, stack_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vlmprobe.families.worker.qwen.fused_layers import Operations

__all__ = ["QwenVision"]

#: Number of batch layouts to cache; benchmarks have only a few image sizes.
_KEPT = 64


@dataclass(frozen=True)
class _Spans:
    """Which stretches of the packed patches attend to each other."""

    cumulative: Tensor
    """int32, (stretches + 1,)."""
    alike: bool
    """Whether all have the same length and so form a block without padding."""
    longest: int
    n: int
    gather: Tensor | None
    """(stretches * longest,) places in the pack, any for padding; None where nothing is to be padded."""
    scatter: Tensor | None
    """(patches,) places in the padded block."""
    mask: Tensor | None
    """(stretches, 1, 1, longest), 0 or -inf, in the model's dtype."""


@dataclass(frozen=True)
class _Layout:
    """Everything that depends only on the sizes of a batch's images."""

    units: Tensor
    """The order of the 2x2 units that puts windows side by side."""
    back: Tensor
    cos: Tensor
    sin: Tensor
    windows: _Spans
    images: _Spans


class QwenVision:
    """The tower of one loaded model, sharing its weights."""

    def __init__(self, visual: Any, operations: Operations, *, pad: bool) -> None:
        """Take over the modules' weights; see :meth:`fits`.

        Args:
            visual: the model's own tower; its weights become views of fused ones.
            operations: what is done between matrix products.
            pad: whether sizes that are bad for a GPU are rounded up with zeros.
        """
        self._visual = visual
        config = visual.config
        self._merge: int = config.spatial_merge_size
        self._window: int = config.window_size // config.spatial_merge_size // config.patch_size
        self._whole = frozenset(config.fullatt_block_indexes)
        self._eps: float = visual.blocks[0].norm1.variance_epsilon
        self._weights = [_weights(block, pad) for block in visual.blocks]
        self._layers = Layers(self._eps, config.num_heads, config.num_heads, operations)
        embed = visual.patch_embed.proj.weight
        self._embed = embed.view(embed.shape[0], -1)
        self._device, self._dtype = embed.device, embed.dtype
        self.kernel = "varlen" if _varlen(self._device, self._dtype) is not None else "padded"
        """``varlen``: one packed call; ``padded``: windows padded to one length."""
        self._varlen = _varlen(self._device, self._dtype)
        self._layout = lru_cache(maxsize=_KEPT)(self._make_layout)

    @staticmethod
    def fits(visual: Any) -> bool:
        """Return whether this file supports the modules."""
        try:
            block, config = visual.blocks[0], visual.config
            parts = (
                block.attn.qkv,
                block.attn.proj,
                block.mlp.gate_proj,
                block.mlp.up_proj,
                block.mlp.down_proj,
            )
            return (
                all(type(part) is torch.nn.Linear and part.bias is not None for part in parts)
                and config.hidden_act == "silu"
                and block.norm1.variance_epsilon == visual.merger.ln_q.variance_epsilon
                and config.hidden_size % config.num_heads == 0
                and visual.patch_embed.proj.bias is None
                and len(config.fullatt_block_indexes) > 0
                and visual.rotary_pos_emb.inv_freq.dtype == torch.float32
            )
        except AttributeError:
            return False

    def __call__(self, patches: Tensor, grids: Sequence[tuple[int, int]]) -> Tensor:
        """Return the features of some images, one after the other, (image tokens, dim).

        Args:
            patches: (patches of all images, values of a patch), on the model's device, any float dtype.
            grids: each image's patches in height and width.
        """
        layout = self._layout(tuple(grids))
        unit = self._merge**2
        x = functional.linear(patches.to(self._dtype), self._embed)
        x = x.view(-1, unit, x.shape[-1])[layout.units].view(-1, x.shape[-1])
        query, key, value = self._layers.before(x, self._weights[0], layout.cos, layout.sin)
        for place, weights in enumerate(self._weights):
            spans = layout.images if place in self._whole else layout.windows
            attention = self._attend(query, key, value, spans)
            if place + 1 == len(self._weights):
                x = self._layers.after(x, attention, weights)
            else:
                following = self._weights[place + 1]
                x, query, key, value = self._layers.between(
                    x, attention, weights, following, layout.cos, layout.sin
                )
        merger = self._visual.merger
        merged = merger.mlp(rms_norm(x, merger.ln_q.weight, self._eps).view(-1, unit * x.shape[-1]))
        features: Tensor = merged[layout.back]
        return features

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, spans: _Spans) -> Tensor:
        if self._varlen is not None and not spans.alike:
            ends, longest = spans.cumulative, spans.longest
            # Parts of the stacked product are strided views; only the last axis must be contiguous.
            found = self._varlen(query, key, value, ends, ends, longest, longest)
            return found.reshape(len(query), -1)

        def block(x: Tensor) -> Tensor:
            padded = x if spans.gather is None else x[spans.gather]
            return padded.view(spans.n, spans.longest, *x.shape[1:]).transpose(1, 2)

        found = functional.scaled_dot_product_attention(
            block(query), block(key), block(value), attn_mask=spans.mask
        )
        flat = found.transpose(1, 2).reshape(spans.n * spans.longest, -1)
        return flat if spans.scatter is None else flat[spans.scatter]

    def _make_layout(self, grids: tuple[tuple[int, int], ...]) -> _Layout:
        units: list[np.ndarray[Any, Any]] = []
        places: list[np.ndarray[Any, Any]] = []
        windows: list[int] = []
        unit = self._merge**2
        start = 0
        for height, width in grids:
            order, lengths = _windows(height // self._merge, width // self._merge, self._window)
            units.append(order + start)
            windows.extend(length * unit for length in lengths)
            places.append(_places(height, width, self._merge).reshape(-1, unit, 2)[order].reshape(-1, 2))
            start += len(order)
        order = np.concatenate(units)
        frequencies = self._visual.rotary_pos_emb.inv_freq.to(self._device)
        at = torch.from_numpy(np.concatenate(places)).to(self._device, torch.float32)
        angles = (at[:, :, None] * frequencies).flatten(1)
        angles = torch.cat([angles, angles], dim=-1)
        return _Layout(
            units=torch.from_numpy(order).to(self._device),
            back=torch.from_numpy(np.argsort(order)).to(self._device),
            cos=angles.cos(),
            sin=angles.sin(),
            windows=self._spans(windows),
            images=self._spans([height * width for height, width in grids]),
        )

    def _spans(self, lengths: Sequence[int]) -> _Spans:
        ends = np.concatenate([[0], np.cumsum(lengths)])
        longest = max(lengths)
        cumulative = torch.from_numpy(ends.astype(np.int32)).to(self._device)
        alike = min(lengths) == longest
        if self._varlen is not None or alike:
            return _Spans(cumulative, alike, longest, len(lengths), None, None, None)
        inside = np.arange(longest)[None, :] < np.asarray(lengths)[:, None]
        gather = np.where(inside, ends[:-1, None] + np.arange(longest)[None, :], 0)
        mask = torch.zeros(inside.shape, dtype=self._dtype).masked_fill(
            torch.from_numpy(~inside), float("-inf")
        )
        return _Spans(
            cumulative,
            False,
            longest,
            len(lengths),
            torch.from_numpy(gather.reshape(-1)).to(self._device),
            torch.from_numpy(np.flatnonzero(inside)).to(self._device),
            mask[:, None, None].to(self._device),
        )


def _weights(block: Any, pad: bool) -> LayerWeights:
    gate_up, gate_up_bias = stack_rows([block.mlp.gate_proj, block.mlp.up_proj], pad=pad)
    down = block.mlp.down_proj
    return LayerWeights(
        norm_in=block.norm1.weight,
        qkv=block.attn.qkv.weight,
        qkv_bias=block.attn.qkv.bias,
        out=block.attn.proj.weight,
        out_bias=block.attn.proj.bias,
        norm_mlp=block.norm2.weight,
        gate_up=gate_up,
        gate_up_bias=gate_up_bias,
        down=pad_columns(down) if pad else down.weight,
        down_bias=down.bias,
    )


def _windows(height: int, width: int, side: int) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Return the units of an image window by window, and how many each window holds."""
    numbers = np.arange(height * width).reshape(height, width)
    found = [
        numbers[top : top + side, left : left + side].reshape(-1)
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    return np.concatenate(found), [len(window) for window in found]


def _places(height: int, width: int, merge: int) -> np.ndarray[Any, Any]:
    """Return row and column of each patch, (patches, 2), in the order of units."""
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    both = np.stack([rows, columns], axis=-1)
    blocks = both.reshape(height // merge, merge, width // merge, merge, 2)
    return blocks.transpose(0, 2, 1, 3, 4).reshape(-1, 2)


def _varlen(device: torch.device, dtype: torch.dtype) -> Callable[..., Tensor] | None:
    """Return PyTorch's packed attention, if there is one for this device and dtype."""
    if device.type != "cuda" or dtype not in {torch.bfloat16, torch.float16}:
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    run: Any = varlen_attn
    return run  # type: ignore[no-any-return]
