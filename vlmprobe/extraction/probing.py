"""Shows a model some pairs before the first batch; those that it refuses fail when their batch comes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import VlmprobeError
from vlmprobe.extraction.image_loader import read_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.extraction.image_loader import Pictures
    from vlmprobe.families import BatchItem, Model
    from vlmprobe.pairs import SwapPair

__all__ = ["accepted_items", "first_prompt"]

#: Pairs to look through for some that the model accepts.
_TRIED = 32


def first_prompt(model: Model, pictures: Pictures, pairs: Sequence[SwapPair]) -> dict[str, Any]:
    """Return the prompt of the first pair that the model accepts; empty if it refuses the first few.

    Raises:
        VlmprobeError: the model itself is at fault.
    """
    return next((prompt for _, prompt in _accepted(model, pictures, pairs)), {})


def accepted_items(model: Model, pictures: Pictures, pairs: Sequence[SwapPair], most: int) -> list[BatchItem]:
    """Return at most ``most`` of the first few pairs, as model input, that the model accepts.

    Raises:
        VlmprobeError: the model itself is at fault.
    """
    return [item for item, _ in islice(_accepted(model, pictures, pairs), most)]


def _accepted(
    model: Model, pictures: Pictures, pairs: Sequence[SwapPair]
) -> Iterator[tuple[BatchItem, dict[str, Any]]]:
    for pair in pairs[:_TRIED]:
        items, _ = read_items(pictures, [pair])
        for item in items:
            try:
                prompt = model.first_prompt(item)
            except VlmprobeError:
                raise
            except Exception:  # noqa: BLE001, S112 - whatever a model raises about an image fails that pair
                continue
            yield item, prompt
