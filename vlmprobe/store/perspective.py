"""Answers to distance pairs by perspective: whether the farther object is higher in the image, or lower."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.pairs import DEPTH
from vlmprobe.store.rows import fetch_as

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["PerspectiveAnswer", "perspective_answers"]


@dataclass(frozen=True, slots=True)
class PerspectiveAnswer:
    """What a run answered to one pair whose perspective is known."""

    perspective: str
    """``consistent``, ``counter`` or ``ambiguous``."""
    image: str
    """Its hash; the pair's id where that is not known."""
    orig_correct: bool
    both_correct: bool


def perspective_answers(connection: Connection, run_id: str) -> list[PerspectiveAnswer]:
    """Return a run's answers to the pairs that ``accuracy_by_perspective`` counts, in the order of pair ids."""
    return fetch_as(
        PerspectiveAnswer,
        connection,
        "SELECT perspective, image, orig_correct, both_correct FROM every_pair_answer "
        "WHERE run_id = $id AND origin = 'row' AND axis = $depth AND perspective IS NOT NULL ORDER BY pair_id",
        {"id": run_id, "depth": DEPTH},
    )
