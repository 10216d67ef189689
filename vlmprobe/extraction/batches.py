"""The batch plan. It depends only on dataset and batch size, so a resumed run plans the same batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.pairs import SwapPair

__all__ = ["Batch", "plan_batches"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pairs that go through the model together."""

    number: int
    pairs: tuple[SwapPair, ...]

    @property
    def pixels(self) -> int:
        """Total pixels of its images, which determine how much memory the batch needs on the device."""
        return sum(pair.image_width * pair.image_height for pair in self.pairs)

    @property
    def for_quads(self) -> bool:
        """Whether its pairs were added only for quads."""
        return self.pairs[0].origin == "quad"


def plan_batches(pairs: Sequence[SwapPair], batch_size: int, first: int = 0) -> list[Batch]:
    """Split the pairs into batches of ``batch_size``, keeping pairs of one image next to each other.

    Images come in the order in which the dataset first names them, pairs of one image in the dataset's order.
    The batches are numbered from ``first`` on.
    """
    by_image: dict[str, list[SwapPair]] = {}
    for pair in pairs:
        by_image.setdefault(pair.image_sha256, []).append(pair)
    ordered = [pair for group in by_image.values() for pair in group]
    return [
        Batch(number, tuple(ordered[start : start + batch_size]))
        for number, start in enumerate(range(0, len(ordered), batch_size), start=first)
    ]
