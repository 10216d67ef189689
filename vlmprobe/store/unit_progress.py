"""How far the runs of units are: pairs, their rate, and whether the runs are complete and analyzed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.store.clock import clock
from vlmprobe.store.lease import may_be_alive
from vlmprobe.store.lease_rows import is_held, read_leases
from vlmprobe.store.row_lease import has_row_leases
from vlmprobe.store.rows import fetch_as

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from vlmprobe.store.units import Unit

__all__ = ["RunProgress", "RunningRun", "progress_of", "rate_of", "running_runs", "who_extracts"]

_RUNS_SQL = """
SELECT
    runs.run_id, runs.family, runs.scale, runs.dataset_id, runs.template, runs.status, runs.checkpoint,
    runs.fingerprint, runs.device, runs.created_at,
    CAST(coalesce(counts.n_pairs, 0) AS INTEGER) AS done,
    CAST((
        SELECT count(*) FROM swap_pairs
        WHERE swap_pairs.dataset_id = runs.dataset_id AND swap_pairs.template = runs.template
    ) AS INTEGER) AS total,
    EXISTS (SELECT 1 FROM metrics WHERE metrics.run_id = runs.run_id AND metrics.layer >= 0) AS is_analyzed
FROM runs
LEFT JOIN every_run_count AS counts ON runs.run_id = counts.run_id
WHERE runs.control IS NULL AND runs.dataset_id = ANY($datasets) AND runs.family = ANY($families)
    AND runs.scale = ANY($scales)
ORDER BY runs.created_at, runs.run_id
"""
_RUNNING_SQL = """
SELECT
    runs.run_id, runs.family, runs.scale, runs.dataset_id, runs.template, runs.control,
    CAST(coalesce(counts.n_pairs, 0) AS INTEGER) AS done,
    CAST((
        SELECT count(*) FROM swap_pairs
        WHERE swap_pairs.dataset_id = runs.dataset_id AND swap_pairs.template = runs.template
    ) AS INTEGER) AS total
FROM runs
LEFT JOIN every_run_count AS counts ON runs.run_id = counts.run_id
WHERE runs.status = 'running'
ORDER BY runs.created_at, runs.run_id
"""
_SHARDS_SQL = """
SELECT created_at, n_pairs FROM shards WHERE run_id = $run_id ORDER BY created_at DESC NULLS LAST LIMIT 20
"""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far one run is."""

    run_id: str
    family: str
    scale: str
    dataset_id: str
    template: str
    status: str
    checkpoint: str
    fingerprint: str | None
    device: str | None
    created_at: datetime
    done: int
    """Pairs with an answer."""
    total: int
    is_analyzed: bool


@dataclass(frozen=True, slots=True)
class RunningRun:
    """A run that a process says it extracts."""

    run_id: str
    family: str
    scale: str
    dataset_id: str
    template: str
    control: str | None
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class _Shard:
    created_at: datetime
    n_pairs: int


def progress_of(connection: Connection, units: Sequence[Unit]) -> list[list[RunProgress]]:
    """Return for each unit its newest run under each template; one that was not begun is left out."""
    if not units:
        return []
    found = fetch_as(
        RunProgress,
        connection,
        _RUNS_SQL,
        {
            "datasets": sorted({unit.dataset_id for unit in units}),
            "families": sorted({unit.family for unit in units}),
            "scales": sorted({unit.scale for unit in units}),
        },
    )
    newest = {(run.family, run.scale, run.dataset_id, run.template): run for run in found}
    return [
        [
            newest[key]
            for template in unit.templates
            if (key := (unit.family, unit.scale, unit.dataset_id, template)) in newest
        ]
        for unit in units
    ]


def running_runs(connection: Connection) -> list[RunningRun]:
    """Return the runs whose status is ``running``, the oldest first; a process that was killed leaves its run so."""
    return fetch_as(RunningRun, connection, _RUNNING_SQL)


def who_extracts(connection: Connection, run_id: str) -> tuple[str | None, bool]:
    """Return the host of the process that has a run, or had it last, and whether it may still be at work.

    Of several that have a part each, one that may be.
    """
    holders = [row.holder for row in read_leases(connection, run_id) if row.holder is not None]
    if has_row_leases(connection):
        now = clock(connection)
        at_work = [holder for holder in holders if is_held(holder, now)]
    else:
        at_work = [holder for holder in holders if may_be_alive(holder)]
    host = (at_work or holders or [{}])[0].get("host")
    return host if isinstance(host, str) else None, bool(at_work)


def rate_of(connection: Connection, run_id: str) -> float | None:
    """Return pairs a second over a run's last shards; None with fewer than two."""
    shards = fetch_as(_Shard, connection, _SHARDS_SQL, {"run_id": run_id})
    if len(shards) < 2:
        return None
    seconds = (shards[0].created_at - shards[-1].created_at).total_seconds()
    # Those of the oldest were made before the first of these times.
    return sum(shard.n_pairs for shard in shards[:-1]) / seconds if seconds > 0 else None
