"""Reads the answers that a comparison of many runs shows: a few queries for all runs, not some for each.

What DuckDB aggregates in memory is asked over some of the runs at a time, so that memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, make_dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.store.rows import fetch, fetch_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.queries import Query
    from vlmprobe.store.rows import Row

__all__ = [
    "Change",
    "UnnamedAnswers",
    "answers_of_runs",
    "changes_in_sequence",
    "count_disagreements",
    "count_pairs",
    "ranges",
    "unnamed_answers",
]

#: Answers that one query aggregates; it takes about 100 MB more than without.
_ANSWERS = 200_000
_CHANGES_SQL = """
WITH
chosen AS (
    SELECT run_id, dataset_id, template, array_position(string_to_array($ids, ','), run_id) AS place
    FROM runs
    WHERE run_id = ANY(string_to_array($ids, ','))
),
answers AS (
    SELECT chosen.run_id, chosen.dataset_id, chosen.template, chosen.place, predictions.pair_id,
        min(CASE WHEN predictions.correct THEN 1 ELSE 0 END) AS both_right
    FROM predictions
    INNER JOIN chosen ON predictions.run_id = chosen.run_id
    GROUP BY chosen.run_id, chosen.dataset_id, chosen.template, chosen.place, predictions.pair_id
    HAVING count(*) = 2
)
SELECT later.place + $before AS place, pairs.axis, count(*) AS n,
    CAST(sum(CASE WHEN later.both_right > before.both_right THEN 1 ELSE 0 END) AS BIGINT) AS gained,
    CAST(sum(CASE WHEN later.both_right < before.both_right THEN 1 ELSE 0 END) AS BIGINT) AS lost
FROM answers AS later
INNER JOIN answers AS before
    ON later.place = before.place + 1 AND later.dataset_id = before.dataset_id AND later.pair_id = before.pair_id
INNER JOIN swap_pairs AS pairs
    ON later.dataset_id = pairs.dataset_id AND later.template = pairs.template AND later.pair_id = pairs.pair_id
LEFT JOIN axes ON pairs.dataset_id = axes.dataset_id AND pairs.axis = axes.axis
WHERE pairs.origin = 'row'
GROUP BY later.place, pairs.axis, axes.position
ORDER BY later.place, axes.position
"""


def count_pairs(connection: Connection, run_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return of each run how many of its pairs have an answer, and how many failed and have none."""
    counts = _counts_of(connection, run_ids)
    none = {"n_pairs": 0, "n_failed": 0}
    found = {run_id: counts.get(run_id, none) for run_id in run_ids}
    return {run_id: (row["n_pairs"], row["n_failed"]) for run_id, row in found.items()}


def _counts_of(connection: Connection, run_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    sql = "SELECT * FROM every_run_count WHERE run_id = ANY(string_to_array($ids, ','))"
    return {row["run_id"]: row for row in fetch(connection, sql, {"ids": ",".join(run_ids)})}


@dataclass(frozen=True, slots=True)
class UnnamedAnswers:
    """Answers of a run that name neither of their two options."""

    n: int
    n_answers: int
    """All answers of the run."""
    examples: tuple[str, ...]
    """Some of them, the most frequent texts first."""

    @property
    def share(self) -> float:
        """Their share of all answers; 0 without any."""
        return self.n / self.n_answers if self.n_answers else 0.0


def unnamed_answers(
    connection: Connection, run_ids: Sequence[str], examples: int = 5
) -> dict[str, UnnamedAnswers]:
    """Count the answers of each run that name neither option, and return some of them."""
    counted = _counts_of(connection, run_ids)
    frequent = fetch(
        connection,
        """
        SELECT run_id, text
        FROM (
            SELECT run_id, text,
                row_number() OVER (PARTITION BY run_id ORDER BY count(*) DESC NULLS LAST, text) AS place
            FROM predictions
            WHERE parsed IS NULL
                AND run_id IN (SELECT run_id FROM runs WHERE run_id = ANY(string_to_array($ids, ',')))
            GROUP BY run_id, text
        ) AS texts
        WHERE place <= $most
        ORDER BY run_id, place
        """,
        {"ids": ",".join(run_ids), "most": examples},
    )
    texts: dict[str, list[str]] = {}
    for row in frequent:
        texts.setdefault(row["run_id"], []).append(row["text"])
    counts = {run_id: (row["n_unnamed"], row["n_answers"]) for run_id, row in counted.items()}
    return {
        run_id: UnnamedAnswers(*counts.get(run_id, (0, 0)), tuple(texts.get(run_id, ())))
        for run_id in run_ids
    }


def count_disagreements(connection: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    """Count the answers of each run to the dataset's own pairs on which the two checkers disagree."""
    rows = fetch(
        connection,
        """
        SELECT runs.run_id, count(*) AS n
        FROM predictions
        INNER JOIN runs ON predictions.run_id = runs.run_id
        INNER JOIN swap_pairs
            ON runs.dataset_id = swap_pairs.dataset_id
            AND runs.template = swap_pairs.template
            AND predictions.pair_id = swap_pairs.pair_id
        WHERE predictions.correct <> predictions.correct_words AND swap_pairs.origin = 'row'
            AND runs.run_id = ANY(string_to_array($ids, ','))
        GROUP BY runs.run_id
        """,
        {"ids": ",".join(run_ids)},
    )
    found = {row["run_id"]: int(row["n"]) for row in rows}
    return {run_id: found.get(run_id, 0) for run_id in run_ids}


def answers_of_runs(
    query: Query,
    row_type: type[Row],
    connection: Connection,
    run_ids: Sequence[str],
    given: Mapping[str, Any] | None = None,
    **how: Any,
) -> dict[str, list[Row]]:
    """Run a query with parameters ``first_run`` and ``last_run``; return the rows of each run as dataclasses.

    Args:
        query: its rows have the column ``run_id``.
        row_type: the dataclass of a row.
        connection: an open transaction.
        run_ids: the runs.
        given: further parameters.
        how: see :func:`vlmprobe.store.rows.fetch_as`.
    """
    names = [field.name for field in fields(row_type)]
    of_run: Any = make_dataclass("OfRun", [("run_id", "str")], bases=(row_type,), frozen=True, kw_only=True)
    found: dict[str, list[Row]] = {run_id: [] for run_id in run_ids}
    for first, last in ranges(_counts(connection), run_ids):
        asked = {**(given or {}), "first_run": first, "last_run": last}
        for row in query.rows(of_run, connection, asked, **how):
            if row.run_id in found:
                found[row.run_id].append(row_type(**{name: getattr(row, name) for name in names}))
    return found


def _counts(connection: Connection) -> dict[str, int]:
    rows = fetch(
        connection, "SELECT run_id, n_answers AS n FROM every_run_count WHERE n_answers > 0 ORDER BY run_id"
    )
    return {row["run_id"]: row["n"] for row in rows}


def ranges(counts: Mapping[str, int], run_ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the first and the last id of some runs whose answers one query can take; the ranges do not overlap.

    A range, since DuckDB passes one down to the answers of a view, and a list of ids not.

    Args:
        counts: the answers of every run, in the order of the ids.
        run_ids: the runs that are wanted.
    """
    first, last, taken, wanted = "", "", 0, set(run_ids)
    for run_id, n in counts.items():
        if first and taken + n > _ANSWERS:
            yield first, last
            first, taken = "", 0
        # A range begins and ends with a run that is asked for; others may lie within.
        if run_id in wanted:
            first, last = first or run_id, run_id
        taken += n if first else 0
    if first:
        yield first, last


@dataclass(frozen=True, slots=True)
class Change:
    """What two runs answered to the same pairs of one axis."""

    place: int
    """Of the later run in the sequence that was asked for."""
    axis: str
    n: int
    gained: int
    lost: int


def changes_in_sequence(connection: Connection, run_ids: Sequence[str]) -> list[Change]:
    """Compare each run but the first with the one before it, pair by pair, as query ``merge/changes`` does.

    Args:
        connection: an open transaction.
        run_ids: real runs on one dataset under one template.
    """
    counts = _counts(connection)
    found: list[Change] = []
    start = 0
    while start < len(run_ids) - 1:
        end, taken = start + 1, counts.get(run_ids[start], 0)
        while end < len(run_ids) and (end < start + 2 or taken + counts.get(run_ids[end], 0) <= _ANSWERS):
            taken += counts.get(run_ids[end], 0)
            end += 1
        # array_position counts from one.
        given = {"ids": ",".join(run_ids[start:end]), "before": start - 1}
        found += fetch_as(Change, connection, _CHANGES_SQL, given)
        start = end - 1
    return found
