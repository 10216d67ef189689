"""An attention function for transformers that reads packed sequences of one length together.

A vision tower attends within windows. Without a flash kernel transformers calls attention once for each window of each
image in each layer: more than ten thousand calls for the pairs of a certificate, of which a GPU mostly waits for the
next. Each call here has the windows of one length as its rows, and is transformers' own function.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["sequences_together"]

#: transformers hands the sequences of a batch to an attention function in one piece if its name holds "flash".
_NAME = "vlmprobe_as_flash"
_OWN = "sdpa"


@contextmanager
def sequences_together(tower: Any) -> Iterator[None]:
    """Let a tower's attention read its packed sequences together meanwhile; another than ``sdpa`` stays as it is.

    Releases of transformers that know no such functions go on as ever.

    Args:
        tower: a module of transformers with a config.
    """
    try:
        from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS as FUNCTIONS
    except ImportError:
        yield
        return
    config: Any = getattr(tower, "config", None)
    if getattr(config, "_attn_implementation", None) != _OWN or not hasattr(FUNCTIONS, "register"):
        yield
        return
    own = FUNCTIONS[_OWN]

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
    ) -> tuple[Tensor, Any]:
        """Take (1, heads, tokens, head_dim) of each; return (1, tokens, heads, head_dim)."""
        ends = more.pop("cu_seq_lens_q", None)
        for name in ("cu_seq_lens_k", "max_length_q", "max_length_k"):
            more.pop(name, None)
        if ends is None:
            found: tuple[Tensor, Any] = own(module, query, key, value, attention_mask, **more)
            return found
        read = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
        for places in _alike(tuple(ends.tolist()), query.device):
            rows = (each[0][:, places].transpose(0, 1) for each in (query, key, value))
            read[0][places] = own(module, *rows, None, **more)[0]
        return read, None

    FUNCTIONS.register(_NAME, attention)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = _OWN


@lru_cache(maxsize=16)
def _alike(ends: tuple[int, ...], device: torch.device) -> tuple[Tensor, ...]:
    """Return the places of the tokens of sequences of one length, (sequences, length), for each length."""
    starts: dict[int, list[int]] = {}
    for start, end in pairwise(ends):
        if end > start:
            starts.setdefault(end - start, []).append(start)
    return tuple(
        (torch.tensor(of_length)[:, None] + torch.arange(length)).to(device)
        for length, of_length in starts.items()
    )
