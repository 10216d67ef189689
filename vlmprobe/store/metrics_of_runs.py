"""Reads the metrics that a comparison of many runs shows, with a number of queries that does not grow with the runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.store.metrics import StoredMetric
from vlmprobe.store.rows import fetch, fetch_arrow, fetch_as, fetch_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    from sqlalchemy import Connection

    FloatArray = npt.NDArray[np.float64]
    IntArray = npt.NDArray[np.int64]

__all__ = [
    "LayerSeries",
    "last_layers",
    "n_tested_layers",
    "read_layer_series",
    "read_metrics_at",
    "results_of_runs",
]


@dataclass(frozen=True, slots=True, eq=False)
class LayerSeries:
    """One metric of one target of a run over its layers, in their order; NaN where there is no data."""

    run_id: str
    metric: str
    subset: str
    target: str
    layers: IntArray
    values: FloatArray
    stds: FloatArray
    low: FloatArray
    high: FloatArray
    n: int
    """Of the first layer, as is the number of images."""
    n_images: int | None


def read_layer_series(connection: Connection, run_ids: Sequence[str]) -> list[LayerSeries]:
    """Return every metric of the layers of some runs: by metric, run, subset and target.

    A query a metric, and no Python object a value: 100 runs of 94 layers have more than a million.
    """
    named = "SELECT DISTINCT name FROM metrics WHERE layer >= 0 ORDER BY name"
    return [one for name in fetch_column(connection, named) for one in _series(connection, run_ids, name)]


def _series(connection: Connection, run_ids: Sequence[str], metric: str) -> Iterator[LayerSeries]:
    found = fetch_arrow(
        connection,
        """
        SELECT run_id, subset, target, layer, n, n_images, value, std, ci_low, ci_high
        FROM metrics
        WHERE name = $metric AND layer >= 0
            AND run_id IN (
                SELECT run_id FROM runs WHERE run_id = ANY(string_to_array($ids, ',')) AND control IS NULL
            )
        ORDER BY run_id, version, subset, target, layer
        """,
        {"metric": metric, "ids": ",".join(run_ids)},
    )
    names = [found.column(name).to_pylist() for name in ("run_id", "subset", "target")]
    # Counts stay as they are: a NULL among them would turn all into floats.
    n, n_images = (found.column(name).to_pylist() for name in ("n", "n_images"))
    layers, *numbers = (
        found.column(name).to_numpy() for name in ("layer", "value", "std", "ci_low", "ci_high")
    )
    places: dict[tuple[str, ...], list[int]] = {}
    for place, key in enumerate(zip(*names, strict=True)):
        places.setdefault(key, []).append(place)
    for (run_id, subset, target), at in places.items():
        values, stds, low, high = (each[at] for each in numbers)
        where = run_id, metric, subset, target, layers[at]
        yield LayerSeries(*where, values, stds, low, high, n[at[0]], n_images[at[0]])


def read_metrics_at(
    connection: Connection, layer_of: Mapping[str, int], names: Sequence[str], subset: str
) -> dict[str, list[StoredMetric]]:
    """Return metrics of some runs: the numbers of a whole run, and those of one layer of each.

    Args:
        connection: an open transaction.
        layer_of: run id -> the layer.
        names: of the metrics.
        subset: the pairs that they are of.
    """
    found: dict[str, list[StoredMetric]] = {run_id: [] for run_id in layer_of}
    rows = fetch_as(
        _MetricOfRun,
        connection,
        """
        SELECT *
        FROM metrics
        WHERE name = ANY(string_to_array($names, ',')) AND subset = $subset
            AND (layer < 0 OR layer = ANY(CAST(string_to_array($layers, ',') AS INTEGER[])))
            AND run_id IN (SELECT run_id FROM runs WHERE run_id = ANY(string_to_array($ids, ',')))
        ORDER BY run_id, name, version, target, layer
        """,
        {
            "names": ",".join(names),
            "subset": subset,
            "layers": ",".join(map(str, sorted(set(layer_of.values())))),
            "ids": ",".join(layer_of),
        },
    )
    for row in rows:
        if row.layer in (-1, layer_of[row.run_id]):
            found[row.run_id].append(row)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _MetricOfRun(StoredMetric):
    run_id: str


def last_layers(connection: Connection, run_ids: Sequence[str], subset: str) -> dict[str, int]:
    """Return the last layer with a metric of each run that has one."""
    return _numbers(
        connection,
        """
        SELECT run_id, max(layer) AS number
        FROM metrics
        WHERE layer >= 0 AND subset = $subset
            AND run_id IN (SELECT run_id FROM runs WHERE run_id = ANY(string_to_array($ids, ',')))
        GROUP BY run_id
        """,
        run_ids,
        subset=subset,
    )


def n_tested_layers(
    connection: Connection, run_ids: Sequence[str], metric: str, subset: str
) -> dict[tuple[str, str], int]:
    """Count the layers in which a metric of each run and target has a p-value; those with none are left out."""
    rows = fetch(
        connection,
        """
        SELECT run_id, target, count(DISTINCT layer) AS number
        FROM metrics
        WHERE name = $metric AND subset = $subset AND p_value IS NOT NULL
            AND run_id IN (SELECT run_id FROM runs WHERE run_id = ANY(string_to_array($ids, ',')))
        GROUP BY run_id, target
        """,
        {"ids": ",".join(run_ids), "metric": metric, "subset": subset},
    )
    return {(row["run_id"], row["target"]): row["number"] for row in rows}


def results_of_runs(
    connection: Connection, run_ids: Sequence[str], names: Sequence[str], subset: str
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the newest version of results of whole runs that are not numbers, by run and name."""
    rows = fetch(
        connection,
        """
        SELECT run_id, name, value
        FROM results_json
        WHERE name = ANY(string_to_array($names, ',')) AND subset = $subset AND layer = -1
            AND run_id IN (SELECT run_id FROM runs WHERE run_id = ANY(string_to_array($ids, ',')))
        ORDER BY run_id, name, version
        """,
        {"ids": ",".join(run_ids), "names": ",".join(names), "subset": subset},
    )
    return {(row["run_id"], row["name"]): json.loads(row["value"]) for row in rows}


def _numbers(connection: Connection, sql: str, run_ids: Sequence[str], **given: Any) -> dict[str, int]:
    rows = fetch(connection, sql, {"ids": ",".join(run_ids), **given})
    return {row["run_id"]: row["number"] for row in rows}
