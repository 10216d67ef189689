"""Carries datasets and runs from one database into another, with every time and seed they have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from vlmprobe.errors import ConflictError
from vlmprobe.store.identity import this_host
from vlmprobe.store.kept_rows import keep_rows, renew_counts
from vlmprobe.store.places import places_of
from vlmprobe.store.rows import fill_nulls, insert_rows
from vlmprobe.store.schema import (
    AxisRow,
    Certificate,
    DatasetRow,
    Failure,
    LeakRow,
    MetricRow,
    Prediction,
    QuadRow,
    ResultJson,
    RowProblemRow,
    RunRow,
    Shard,
    SwapPairRow,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.store.schema import Base

    _Rows = list[dict[str, Any]]
    _Tables = tuple[type[Base], ...]

__all__ = ["RunRows", "has_run", "read_run", "write_metrics", "write_run"]

_OF_DATASET: _Tables = (AxisRow, RowProblemRow)
_OF_TEMPLATE: _Tables = (SwapPairRow, QuadRow, LeakRow)
#: What a run computed or wrote; equal rows mean an equal run.
_RESULTS: _Tables = (Prediction, Failure, Certificate)
_METRICS: _Tables = (MetricRow, ResultJson)
_OF_RUN: _Tables = (*_RESULTS, *_METRICS, Shard)
#: Columns that say where MLflow has something, which another home's MLflow has not.
_IN_MLFLOW: dict[str, None] = {"synced_at": None, "artifact_uri": None, "mlflow_run_id": None}


@dataclass(frozen=True, slots=True)
class RunRows:
    """Every row of a run, and those of its dataset that it refers to."""

    run: dict[str, Any]
    dataset: dict[str, Any]
    of_dataset: dict[type[Base], _Rows]
    of_run: dict[type[Base], _Rows]

    @property
    def is_complete(self) -> bool:
        """Whether every pair was asked."""
        return str(self.run["status"]) == "complete"


def read_run(connection: Connection, run_id: str) -> RunRows:
    """Read everything that a database holds of a run."""
    (run,) = _read(connection, RunRow, run_id=run_id)
    dataset_id, template = run["dataset_id"], run["template"]
    (dataset,) = _read(connection, DatasetRow, dataset_id=dataset_id)
    dataset["path"] = str(places_of(connection).whole(dataset["path"]))
    of_dataset: dict[type[Base], _Rows] = {}
    for table in _OF_DATASET:
        of_dataset[table] = _read(connection, table, dataset_id=dataset_id)
    for table in _OF_TEMPLATE:
        of_dataset[table] = _read(connection, table, dataset_id=dataset_id, template=template)
    of_run: dict[type[Base], _Rows] = {}
    for table in _OF_RUN:
        of_run[table] = _read(connection, table, run_id=run_id)
    return RunRows(run, dataset, of_dataset, of_run)


def has_run(connection: Connection, rows: RunRows) -> bool:
    """Return whether a database has this very run already; metrics that it lacks are another matter.

    Raises:
        ConflictError: it has another state of it: a copied home went on in both places.
    """
    run_id = rows.run["run_id"]
    if not _read(connection, RunRow, run_id=run_id):
        return False
    for table in _RESULTS:
        if _read(connection, table, run_id=run_id) != rows.of_run[table]:
            n_here = len(_read(connection, Prediction, run_id=run_id))
            n_there = len(rows.of_run[Prediction])
            raise ConflictError(
                f"run {run_id} went on in both homes and is not the same ({n_here} answers here, {n_there} there); "
                "remove one of the two with 'vlmprobe runs rm'"
            )
    return True


def write_run(connection: Connection, rows: RunRows, paths: Mapping[int, Path]) -> str:
    """Write a run and what it needs of its dataset; return its key, which is new if another run has its own.

    Args:
        connection: in a transaction, which an error must undo.
        rows: of another database; :func:`has_run` says that this one lacks it.
        paths: shard number -> its file in this home.

    Raises:
        ConflictError: the dataset has other boxes here.
    """
    places = places_of(connection)
    _write_dataset(connection, rows)
    key = _free_key(connection, str(rows.run["run_key"]))
    insert_rows(connection, RunRow, [{**rows.run, **_IN_MLFLOW, "run_key": key, "lease": None}])
    for table, held in rows.of_run.items():
        kept = [{**row, **_IN_MLFLOW} for row in held]
        if table is Shard:
            kept = [{**row, "path": places.stored(paths[row["shard"]]), "host": this_host()} for row in kept]
        insert_rows(connection, table, kept)
    if rows.is_complete:
        keep_rows(connection, rows.run["run_id"])
    return key


def write_metrics(connection: Connection, rows: RunRows) -> bool:
    """Write the metrics of a run that has none here; return whether those of the other database are here now.

    Metrics that are here stay: ``vlmprobe analyze`` makes them current.
    """
    run_id = rows.run["run_id"]
    here = _read(connection, MetricRow, run_id=run_id)
    if not here:
        for table in _METRICS:
            insert_rows(connection, table, [{**row, **_IN_MLFLOW} for row in rows.of_run[table]])
        return True
    return _values(here) == _values(rows.of_run[MetricRow])


def _values(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, **_IN_MLFLOW, "computed_at": None} for row in metrics]


def _write_dataset(connection: Connection, rows: RunRows) -> None:
    dataset_id = rows.dataset["dataset_id"]
    there = _read(connection, DatasetRow, dataset_id=dataset_id)
    boxes, known = rows.dataset["boxes"], there[0]["boxes"] if there else None
    if boxes and known and boxes != known:
        raise ConflictError(
            f"dataset {rows.dataset['name']} ({dataset_id[:12]}) has other object boxes here; keep the two homes apart"
        )
    path = places_of(connection).stored(Path(rows.dataset["path"]))
    insert_rows(connection, DatasetRow, [{**rows.dataset, "path": path}])
    if boxes and not known:
        connection.execute(update(DatasetRow).where(DatasetRow.dataset_id == dataset_id).values(boxes=boxes))
    added = {table: insert_rows(connection, table, held) for table, held in rows.of_dataset.items()}
    # Pairs that were here before the boxes get their perspective.
    filled = fill_nulls(connection, SwapPairRow, ("perspective",), rows.of_dataset[SwapPairRow])
    if added[SwapPairRow] or filled:
        renew_counts(connection, dataset_id, rows.run["template"])


def _free_key(connection: Connection, key: str) -> str:
    """Return a run key, numbered as ``--new`` would number it if it is taken."""
    bare, _, number = key.partition("#")
    taken = set(connection.execute(select(RunRow.run_key).where(RunRow.run_key.startswith(bare))).scalars())
    place = int(number or 1)
    while key in taken:
        place += 1
        key = f"{bare}#{place}"
    return key


def _read(connection: Connection, table: type[Base], **where: str) -> _Rows:
    """Return rows in the order of their keys, JSON decoded."""
    columns = table.__table__.columns
    chosen = select(*columns).where(*(columns[name] == value for name, value in where.items()))
    keys = [column for column in columns if column.primary_key]
    return [dict(row) for row in connection.execute(chosen.order_by(*keys)).mappings()]
