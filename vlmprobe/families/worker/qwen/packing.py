"""Lays out the tokens of a batch for one pass through a packed decoder, without padding.

prefix of image 0 | prefix of image 1 | ... | rest of question 0 | rest of question 1 | ...
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmprobe.families.worker.contract import MAX_NEW_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["Pack", "pack"]

#: A cache's capacity is a multiple of this: mask rows must begin at multiples of 16, and caches of equal
#: capacity are reused.
_SLOTS = 64


@dataclass(frozen=True)
class Pack:
    """A batch's tokens and their layout; tensors on the host until :meth:`to`."""

    ids: Tensor
    """(tokens,)."""
    positions: Tensor
    """(axes, tokens)."""
    image_tokens: Tensor
    """Places of image tokens, in the order of the images' features."""
    last: Tensor
    """(questions,) place of each question's last token."""
    next_position: Tensor
    """(questions,) the position of the first generated token."""
    image_of_row: Tensor
    """(questions,) the prefix that each continues."""
    n_prefix: int
    """How many of the tokens belong to prefixes."""
    n_images: int
    longest_prefix: int
    longest_rest: int
    prefix_gather: Tensor | None
    """(images * longest prefix,) places, any for padding; None where all prefixes are of one length."""
    prefix_scatter: Tensor | None
    rest_gather: Tensor | None
    rest_scatter: Tensor | None
    seen: Tensor
    """(questions, longest rest, capacity) bool: which slots of its cache a token of the rest sees."""

    def to(self, device: torch.device) -> Pack:
        """Copy everything to a device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)


def pack(
    prefixes: Sequence[Sequence[int]],
    rests: Sequence[Sequence[int]],
    image_of_row: Sequence[int],
    prefix_positions: Sequence[Tensor],
    rest_positions: Sequence[Tensor],
    image_token: int,
) -> Pack:
    """Lay out a batch's tokens.

    Args:
        prefixes: per image the tokens that all its questions begin with, image tokens included.
        rests: per question what follows.
        image_of_row: per question its image.
        prefix_positions: per image (axes, length).
        rest_positions: per question (axes, length).
        image_token: the id that stands for a piece of an image.
    """
    ids = torch.tensor([token for part in (*prefixes, *rests) for token in part])
    before = [len(prefix) for prefix in prefixes]
    after = [len(rest) for rest in rests]
    n_prefix = sum(before)
    longest_prefix, longest_rest = max(before), max(after)
    capacity = -(-(longest_prefix + longest_rest + MAX_NEW_TOKENS) // _SLOTS) * _SLOTS
    slots = torch.arange(capacity)
    inside = slots < torch.tensor([before[image] for image in image_of_row])[:, None]
    steps = torch.arange(longest_rest)
    own = (slots >= longest_prefix) & (slots - longest_prefix <= steps[:, None])
    prefix_gather, prefix_scatter = _padding(before)
    rest_gather, rest_scatter = _padding(after)
    return Pack(
        ids=ids,
        positions=torch.cat([*prefix_positions, *rest_positions], dim=-1),
        image_tokens=torch.nonzero(ids[:n_prefix] == image_token).flatten(),
        last=torch.tensor(after).cumsum(0) + n_prefix - 1,
        next_position=torch.stack([positions.max() + 1 for positions in rest_positions]),
        image_of_row=torch.tensor(list(image_of_row)),
        n_prefix=n_prefix,
        n_images=len(prefixes),
        longest_prefix=longest_prefix,
        longest_rest=longest_rest,
        prefix_gather=prefix_gather,
        prefix_scatter=prefix_scatter,
        rest_gather=rest_gather,
        rest_scatter=rest_scatter,
        seen=inside[:, None, :] | own[None],
    )


def _padding(lengths: Sequence[int]) -> tuple[Tensor | None, Tensor | None]:
    """Return where each slot of a block, padded on the right, comes from, and where each token goes."""
    longest = max(lengths)
    if min(lengths) == longest:
        return None, None
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    inside = np.arange(longest)[None, :] < np.asarray(lengths)[:, None]
    gather = np.where(inside, begins[:, None] + np.arange(longest)[None, :], 0)
    return torch.from_numpy(gather.reshape(-1)), torch.from_numpy(np.flatnonzero(inside))
