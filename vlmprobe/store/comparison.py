"""Reads what comparisons of runs pair by pair need: each pair's verdict, image and perspective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.store.rows import fetch_as

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["AnsweredPair", "JudgedPair", "answered_pairs", "judged_pairs", "read_answers"]


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """One of the dataset's own pairs with both answers of a run."""

    pair_id: str
    category: str
    axis: str
    image: str
    """The hash of its image, or the pair's own id if the image is unknown."""
    perspective: str | None
    both_correct: bool


def judged_pairs(connection: Connection, run_id: str) -> list[JudgedPair]:
    """Return the pairs that a run answered, without those that only quads have, in one order for all runs.

    The run may be a control.
    """
    return fetch_as(
        JudgedPair,
        connection,
        "SELECT pair_id, category, axis, image, perspective, both_correct FROM every_pair_answer "
        "WHERE run_id = $id AND origin = 'row' ORDER BY pair_id",
        {"id": run_id},
    )


@dataclass(frozen=True, slots=True)
class AnsweredPair:
    """One of the dataset's own pairs: its objects, and how many of its two answers are right."""

    pair_id: str
    subject: str | None
    reference: str | None
    n_right: int


def answered_pairs(connection: Connection, run_id: str) -> dict[str, AnsweredPair]:
    """Return the pairs with both answers of a run, by their ids."""
    found = fetch_as(
        AnsweredPair,
        connection,
        "SELECT pairs.pair_id, pairs.subject, pairs.reference, answers.n_right FROM (SELECT pair_id, "
        "count(*) FILTER (WHERE correct) AS n_right FROM predictions WHERE run_id = $id GROUP BY pair_id "
        "HAVING count(*) = 2) AS answers INNER JOIN runs ON runs.run_id = $id INNER JOIN swap_pairs AS pairs "
        "ON pairs.dataset_id = runs.dataset_id AND pairs.template = runs.template AND "
        "pairs.pair_id = answers.pair_id WHERE pairs.origin = 'row'",
        {"id": run_id},
    )
    return {pair.pair_id: pair for pair in found}


@dataclass(frozen=True, slots=True)
class _Said:
    pair_id: str
    side: str
    parsed: str | None


def read_answers(connection: Connection, run_id: str) -> dict[tuple[str, str], str | None]:
    """Return what each question of a run was answered, as the checker read it: (id of the pair, side) -> category.

    None where the answer names neither category.
    """
    found = fetch_as(
        _Said,
        connection,
        "SELECT pair_id, side, parsed FROM predictions WHERE run_id = $id ORDER BY pair_id, side",
        {"id": run_id},
    )
    return {(answer.pair_id, answer.side): answer.parsed for answer in found}
