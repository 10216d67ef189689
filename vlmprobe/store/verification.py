"""Checks shards against their rows in the database, and the spool against the recorded shards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.errors import InputError
from vlmprobe.store.predictions import prediction_rows
from vlmprobe.store.rows import fetch, fetch_column, stored_rows
from vlmprobe.store.shards import read_header, shard_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.store.artifacts import ShardPlace
    from vlmprobe.store.shards import ShardFile

__all__ = [
    "count_unsynced",
    "read_whole",
    "row_problems",
    "runs_with_old_intervals",
    "spooled",
    "stray_shards",
]

_ANSWER_COLUMNS = (
    "shard_row",
    "text",
    "parsed",
    "correct",
    "checker",
    "parsed_words",
    "correct_words",
    "margin",
)


def read_whole(place: ShardPlace, path: Path) -> ShardFile:
    """Read a shard and check hash, size and shape against its row.

    Raises:
        InputError: the file is not what was written, or its row says another shape.
    """
    shard = read_header(path)
    if (shard.n_bytes, shard.sha256) != (place.n_bytes, place.sha256):
        raise InputError(f"{path}: damaged; its hash has changed since it was written")
    for name in ("run_id", "number", "kind", "layers", "dim", "dtype"):
        said, found = getattr(place, name), getattr(shard, name)
        if said != found:
            raise InputError(f"{path}: its row says {name} {said}, but the file says {found}")
    return shard


def row_problems(connection: Connection, shard: ShardFile, *, is_complete: bool) -> list[str]:
    """List where the answers in the database differ from those in a shard of states.

    In an incomplete run, a pair without any row is not a problem; the next extraction infers it.
    """
    expected = {(row["pair_id"], row["side"]): row for row in stored_rows(connection, prediction_rows(shard))}
    rows = fetch(
        connection,
        "SELECT * FROM predictions WHERE run_id = $run_id AND pair_id = ANY($pairs)",
        {"run_id": shard.run_id, "pairs": list(shard.pair_ids)},
    )
    here = {(row["pair_id"], row["side"]): row for row in rows if row["shard"] == shard.number}
    missing = _missing(expected, rows, shard.number, is_complete=is_complete)
    differing = [key for key, row in here.items() if _differs(row, expected.get(key))]
    found = (("of its answers have no row", missing), ("rows differ from it", differing))
    problems = [f"{len(keys)} {what} (pair {', '.join(keys[0])})" for what, keys in found if keys]
    (foreign,) = fetch_column(
        connection,
        "SELECT count(*) FROM predictions "
        "WHERE run_id = $run_id AND shard = $shard AND NOT pair_id = ANY($pairs)",
        {"run_id": shard.run_id, "shard": shard.number, "pairs": list(shard.pair_ids)},
    )
    if foreign:
        problems.append(f"{foreign} rows refer to it, but it does not hold their pairs")
    return problems


def _missing(
    expected: Iterable[tuple[str, str]], rows: Sequence[Mapping[str, Any]], number: int, *, is_complete: bool
) -> list[tuple[str, str]]:
    answered = {(row["pair_id"], row["side"]) for row in rows}
    # A pair that a later shard answered again belongs to that shard.
    elsewhere = {row["pair_id"] for row in rows if row["shard"] != number}
    missing = [key for key in expected if key not in answered and key[0] not in elsewhere]
    if is_complete:
        return missing
    # A lost shard may have replaced the answer of a pair without any row; the answer here was discarded then.
    asked = {pair_id for pair_id, _ in answered}
    return [key for key in missing if key[0] in asked]


def _differs(row: Mapping[str, Any], said: Mapping[str, Any] | None) -> bool:
    return said is None or any(row[name] != said[name] for name in _ANSWER_COLUMNS)


def spooled(folder: Path) -> list[Path]:
    """Return the shards of a run's spool folder, whole or half-written, in order."""
    names = (*folder.glob("*.safetensors"), *folder.glob("*.partial"))
    return sorted(path for path in names if shard_number(path) is not None)


def stray_shards(connection: Connection, run_id: str) -> list[int]:
    """Return the shards that answers of a run point at although they have no row themselves."""
    return fetch_column(
        connection,
        "SELECT DISTINCT shard FROM predictions WHERE run_id = $id AND shard IS NOT NULL AND NOT EXISTS ("
        "SELECT 1 FROM shards WHERE shards.run_id = predictions.run_id AND shards.shard = predictions.shard) "
        "ORDER BY shard",
        {"id": run_id},
    )


def runs_with_old_intervals(connection: Connection) -> int:
    """Count complete runs with intervals or p-values of layers from before ``method`` said whether they cover."""
    (n,) = fetch_column(
        connection,
        """
        SELECT count(DISTINCT metrics.run_id)
        FROM metrics
        INNER JOIN runs ON metrics.run_id = runs.run_id AND runs.status = 'complete'
        WHERE metrics.layer >= 0 AND metrics.method IS NULL
            AND (metrics.ci_low IS NOT NULL OR metrics.p_value IS NOT NULL)
        """,
    )
    return int(n)


def count_unsynced(connection: Connection, run_id: str) -> tuple[int, int]:
    """Return how many shards and how many metric values of a run are not synced to MLflow."""
    (row,) = fetch(
        connection,
        """
        SELECT
            (SELECT count(*) FROM shards WHERE run_id = $id AND synced_at IS NULL) AS shards,
            (SELECT count(*) FROM metrics WHERE run_id = $id AND synced_at IS NULL) AS metrics
        """,
        {"id": run_id},
    )
    n_shards, n_values = row.values()
    return n_shards, n_values
