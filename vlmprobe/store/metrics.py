"""Stores metrics in tidy form; an unchanged value keeps its timestamp."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, tuple_, update

from vlmprobe.analysis import Metric
from vlmprobe.store.identity import utc_now
from vlmprobe.store.rows import chunked, fetch, fetch_as, fetch_column, insert_rows, none_if_nan
from vlmprobe.store.schema import MetricRow, ResultJson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

__all__ = [
    "LayerValue",
    "MetricsUpdate",
    "StoredMetric",
    "analyzed_runs",
    "count_metrics",
    "digest_matches",
    "mark_metrics_synced",
    "read_layer_values",
    "read_metrics",
    "read_results_json",
    "store_digest",
    "store_metrics",
    "store_named_results",
    "store_results",
]

_KEY = ("name", "version", "subset", "target", "layer")
_VALUES = ("value", "std", "n", "ci_low", "ci_high", "p_value", "seed")
#: Columns since revision 0003; where all are NULL, a row is hashed as it was before.
_ADDED = ("n_images", "method", "reason", "p_layers")
_METRICS_SQL = "SELECT * FROM metrics WHERE run_id = $id ORDER BY name, version, subset, target, layer"
_RESULT_KEY = ("name", "version", "subset", "layer")
_DIGEST = "digest"


@dataclass(frozen=True, slots=True)
class MetricsUpdate:
    """The outcome of storing a set of metrics."""

    added: int
    changed: int
    unchanged: int
    outdated: bool
    """Whether MLflow shows a value that has changed here."""


def store_metrics(connection: Connection, run_id: str, metrics: Sequence[Metric]) -> MetricsUpdate:
    """Make the stored metrics of a run equal to ``metrics``; NaN is stored as NULL."""
    # Raw rows, not metrics: a NaN or infinite value that someone wrote must not compare equal to NULL.
    stored = {_key(row): row for row in fetch(connection, _METRICS_SQL, {"id": run_id})}
    now = utc_now()
    fresh: list[dict[str, Any]] = []
    changed: list[tuple[Any, ...]] = []
    unchanged = 0
    outdated = False
    for metric in metrics:
        row: dict[str, Any] = {"run_id": run_id, "computed_at": now}
        row |= {name: getattr(metric, name) for name in (*_KEY, *_VALUES, *_ADDED)}
        for name in ("value", "std", "ci_low", "ci_high", "p_value", "p_layers"):
            row[name] = none_if_nan(row[name])
        before = stored.pop(_key(row), None)
        if before is not None and all(before[name] == row[name] for name in (*_VALUES, *_ADDED)):
            unchanged += 1
            continue
        if before is not None:
            changed.append(_key(row))
            if before["value"] == row["value"]:
                # MLflow shows only the value; with a new timestamp it would show the same point twice.
                row |= {name: before[name] for name in ("computed_at", "synced_at")}
            else:
                outdated |= _is_shown(before)
        fresh.append(row)
    # The rest was computed before and is not anymore.
    outdated |= any(_is_shown(row) for row in stored.values())
    _delete(connection, MetricRow, _KEY, run_id, [*changed, *stored])
    insert_rows(connection, MetricRow, fresh)
    return MetricsUpdate(len(fresh) - len(changed), len(changed) + len(stored), unchanged, outdated)


def _is_shown(row: dict[str, Any]) -> bool:
    """Whether MLflow shows a stored value; NULL is never sent."""
    return row["value"] is not None and row["synced_at"] is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMetric(Metric):
    """A metric with its timestamps in the database."""

    computed_at: datetime
    synced_at: datetime | None
    """When it was sent to MLflow; None if it was not."""


def analyzed_runs(connection: Connection) -> set[str]:
    """Return the ids of the runs that have per-layer metrics."""
    return set(fetch_column(connection, "SELECT DISTINCT run_id FROM metrics WHERE layer >= 0"))


def count_metrics(connection: Connection, run_id: str) -> int:
    """Return how many numbers are stored of a run."""
    (n,) = fetch_column(connection, "SELECT count(*) FROM metrics WHERE run_id = $id", {"id": run_id})
    return int(n)


def read_metrics(connection: Connection, run_id: str) -> list[StoredMetric]:
    """Return the metrics of a run."""
    return fetch_as(StoredMetric, connection, _METRICS_SQL, {"id": run_id})


@dataclass(frozen=True, slots=True)
class LayerValue:
    """One metric of one layer of a run (a row of view ``consistency``); NaN where there is no data."""

    run_id: str
    family: str
    scale: str
    samples_seen: int | None
    metric: str
    subset: str
    target: str
    layer: int
    value: float
    std: float
    n: int
    n_images: int | None
    ci_low: float
    ci_high: float


def read_layer_values(connection: Connection, run_ids: Sequence[str]) -> list[LayerValue]:
    """Return every metric of the layers of some runs, those of one target one after the other, by layer."""
    return fetch_as(
        LayerValue,
        connection,
        "SELECT * FROM consistency WHERE run_id = ANY($ids) AND layer >= 0 "
        "ORDER BY run_id, metric, version, subset, target, layer",
        {"ids": list(run_ids)},
    )


def read_results_json(
    connection: Connection, run_id: str, name: str, subset: str, layer: int = -1
) -> dict[str, Any] | None:
    """Return the newest version of a result that is not a number: of the whole run, or of one layer."""
    values = fetch_column(
        connection,
        "SELECT value FROM results_json WHERE run_id = $id AND name = $name AND subset = $subset AND layer = $layer "
        "ORDER BY version DESC NULLS LAST LIMIT 1",
        {"id": run_id, "name": name, "subset": subset, "layer": layer},
    )
    return json.loads(values[0]) if values else None


def store_results(connection: Connection, run_id: str, results: Sequence[Mapping[str, Any]]) -> None:
    """Replace a run's non-numeric results by ``results``; an unchanged value keeps its timestamp."""
    _make_equal(connection, run_id, results, "name <> $name", _DIGEST)


def store_named_results(
    connection: Connection, run_id: str, name: str, results: Sequence[Mapping[str, Any]]
) -> None:
    """Replace a run's non-numeric results of one name; a digest that matched the run's results goes on matching."""
    is_kept = bool(_results(connection, run_id, "name = $name")) and digest_matches(connection, run_id)
    _make_equal(connection, run_id, results, "name = $name", name)
    if is_kept:
        store_digest(connection, run_id)


def store_digest(connection: Connection, run_id: str) -> None:
    """Store the current hash of a run's metrics and results (``results_json``, name ``digest``)."""
    _make_equal(connection, run_id, [_digest(connection, run_id)], "name = $name", _DIGEST)


def digest_matches(connection: Connection, run_id: str) -> bool:
    """Whether a run's metrics and results match their stored digest, if there is one."""
    kept = [row["value"] for row in _results(connection, run_id, "name = $name")]
    return not kept or kept == [json.dumps(_digest(connection, run_id)["value"])]


def _digest(connection: Connection, run_id: str) -> dict[str, Any]:
    """Build the row of ``results_json``; equal values yield equal digests, whenever computed or sent."""
    rows = fetch(connection, _METRICS_SQL, {"id": run_id})
    metrics = [_hashed(row) for row in rows]
    # As text: what another program wrote there may not be valid JSON for Python.
    others = [[row[name] for name in (*_RESULT_KEY, "value")] for row in _results(connection, run_id)]
    text = json.dumps([metrics, others], default=str)
    value = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    return {"name": _DIGEST, "version": 1, "subset": "all", "layer": -1, "value": value}


def _hashed(row: dict[str, Any]) -> list[Any]:
    added = [row[name] for name in _ADDED]
    known = any(value is not None for value in added)
    return [row[name] for name in (*_KEY, *_VALUES)] + (added if known else [])


def _results(
    connection: Connection, run_id: str, which: str = "name <> $name", name: str = _DIGEST
) -> list[dict[str, Any]]:
    return fetch(
        connection,
        f"SELECT * FROM results_json WHERE run_id = $id AND {which} ORDER BY name, version, subset, layer",  # noqa: S608 - our own words
        {"id": run_id, "name": name},
    )


def _make_equal(
    connection: Connection, run_id: str, results: Sequence[Mapping[str, Any]], which: str, name: str
) -> None:
    wanted = {tuple(result[name] for name in _RESULT_KEY): result for result in results}
    gone = []
    for row in _results(connection, run_id, which, name):
        key = tuple(row[name] for name in _RESULT_KEY)
        if key in wanted and row["value"] == json.dumps(wanted[key]["value"]):
            del wanted[key]
        else:
            gone.append(key)
    _delete(connection, ResultJson, _RESULT_KEY, run_id, gone)
    now = utc_now()
    rows = [{"run_id": run_id, "computed_at": now, **result} for result in wanted.values()]
    insert_rows(connection, ResultJson, rows)


def mark_metrics_synced(
    connection: Connection, run_id: str, when: datetime | None, *, until: datetime | None = None
) -> None:
    """Record when a run's metrics, computed up to ``until``, were sent to MLflow; None means never."""
    which = MetricRow.run_id == run_id
    if until is not None:
        which &= MetricRow.computed_at <= until
    connection.execute(update(MetricRow).where(which).values(synced_at=when))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)


def _delete(
    connection: Connection,
    table: type[MetricRow | ResultJson],
    names: Sequence[str],
    run_id: str,
    keys: Sequence[tuple[Any, ...]],
) -> None:
    columns = tuple_(*(getattr(table, name) for name in names))
    for batch in chunked(keys, 500):
        connection.execute(delete(table).where(table.run_id == run_id, columns.in_(list(batch))))
