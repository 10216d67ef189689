"""Hashes of what runs hold, made by the database: whether rows are those of before, without reading them.

A hash is compared with one of the same database alone. ``arrays.read_inputs`` is for what is stored with an analysis:
it hashes the rows of a run in Python, which takes seconds where the run has 50,000 pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.store.axes import read_axes
from vlmprobe.store.rows import fetch_column

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.store.runs import Run

__all__ = ["Contents"]

# NULL would leave a whole row out.
_PAIRS_SQL = """
SELECT md5(string_agg(
    pair_id || ' ' || category || ' ' || axis || ' ' || coalesce(image_sha256, '-') || ' ' || coalesce(perspective, '-')
    || ' ' || origin, ',' ORDER BY position, pair_id
)) AS hash
FROM swap_pairs WHERE dataset_id = $dataset_id AND template = $template
"""
_QUADS_SQL = """
SELECT md5(string_agg(
    distance_pair_id || ' ' || coalesce(vertical_pair_id, '-'), ',' ORDER BY distance_pair_id
)) AS hash
FROM quads WHERE dataset_id = $dataset_id AND template = $template
"""
_ANSWERS_SQL = """
SELECT md5(string_agg(
    pair_id || ' ' || side || ' ' || coalesce(parsed, '-') || ' ' || coalesce(CAST(correct AS text), '-')
    || ' ' || coalesce(CAST(shard AS text), '-') || ' ' || coalesce(CAST(shard_row AS text), '-'),
    ',' ORDER BY pair_id, side
)) AS hash
FROM predictions WHERE run_id = $run_id
"""
_SHARDS_SQL = """
SELECT md5(string_agg(CAST(shard AS text) || ' ' || sha256, ',' ORDER BY shard)) AS hash
FROM shards WHERE run_id = $run_id
"""


class Contents:
    """What some runs hold; what they share is hashed once."""

    def __init__(self, connection: Connection) -> None:
        """Ask nothing yet.

        Args:
            connection: an open transaction, which all hashes come from.
        """
        self._connection = connection
        self._datasets: dict[tuple[str, str], list[Any]] = {}
        self._runs: dict[str, list[str | None]] = {}

    def of(self, run: Run) -> list[Any]:
        """Return the hashes of a run's answers and shards, of its pairs and quads, and what its axes mean."""
        dataset = run.dataset_id, run.template
        if dataset not in self._datasets:
            named = {"dataset_id": run.dataset_id, "template": run.template}
            hashes = [self._hash(sql, named) for sql in (_PAIRS_SQL, _QUADS_SQL)]
            self._datasets[dataset] = [*hashes, read_axes(self._connection, run.dataset_id).meaning]
        if run.run_id not in self._runs:
            named = {"run_id": run.run_id}
            self._runs[run.run_id] = [self._hash(sql, named) for sql in (_ANSWERS_SQL, _SHARDS_SQL)]
        return [*self._runs[run.run_id], *self._datasets[dataset]]

    def _hash(self, sql: str, named: dict[str, str]) -> str | None:
        (found,) = fetch_column(self._connection, sql, named)
        return None if found is None else str(found)
