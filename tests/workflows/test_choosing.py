"""Which of a scale's runs is shown, where several processes work on one database."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vlmprobe.analysis import Metric
from vlmprobe.errors import UsageError
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.identity import utc_now
from vlmprobe.store.metrics import store_metrics
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.runs import RunPlan, complete_runs, open_run, set_status
from vlmprobe.store.schema import DatasetRow
from vlmprobe.study.selection import newest_of_each_scale

if TYPE_CHECKING:
    from pathlib import Path

PLAN = RunPlan("key", "d1", "published", "tiny", "80k", "folder", "abc", 80_000, None, "float32", "cpu")
OTHER = replace(PLAN, run_key="other", scale="2m", samples_seen=2_000_000)
METRIC = Metric("axis_coherence", 1, "all", "distance", 5, 0.25, 0.5, 10, 0.125, 0.375, None, 0)
OF_THE_RUN = replace(METRIC, name="accuracy.both", layer=-1)


@pytest.fixture
def database(tmp_path: Path) -> DuckDBStore:
    """Make a database with one dataset."""
    database = DuckDBStore(tmp_path / "vlmprobe.duckdb")
    ensure_schema(database)
    facts = {"name": "bench", "path": "bench.tsv", "form": "embspatial", "n_rows": 1}
    row = facts | {"dataset_id": "d1", "options": {}, "created_at": utc_now()}
    with database.transaction() as connection:
        insert_rows(connection, DatasetRow, [row])
    return database


def _complete(database: DuckDBStore, plan: RunPlan, *metrics: Metric) -> str:
    """Make a new complete run of a plan; return its id."""
    with database.transaction() as connection:
        run, _ = open_run(connection, plan, new=True)
        set_status(connection, run.run_id, "complete")
        store_metrics(connection, run.run_id, metrics)
    return run.run_id


def _choose(database: DuckDBStore) -> tuple[list[str], list[str]]:
    with database.transaction() as connection:
        found = complete_runs(connection)
    chosen, notes = newest_of_each_scale(database, found)
    return [run.run_id for run in chosen], notes


def test_the_newest_of_several_runs_is_shown(database: DuckDBStore) -> None:
    """A line says that there are others."""
    _complete(database, PLAN, METRIC)
    newest, other = _complete(database, PLAN, METRIC), _complete(database, OTHER, METRIC)
    assert _choose(database) == ([newest, other], ["tiny @ 80k: 2 complete runs; the newest is shown"])


def test_a_run_that_nobody_has_analyzed_yet_does_not_take_the_place_of_one_that_is_ready(
    database: DuckDBStore,
) -> None:
    """Another process may have completed it a second ago: the comparison goes on with what there is, and says so."""
    ready = _complete(database, PLAN, METRIC)
    for metrics in ((), (OF_THE_RUN,)):
        _complete(database, PLAN, *metrics)
        assert _choose(database) == (
            [ready],
            [
                "tiny @ 80k: the newest run has no metrics yet, so the newest one with metrics is shown; "
                "compute them with 'vlmprobe analyze tiny'"
            ],
        )


def test_a_scale_without_metrics_is_an_error_that_names_the_next_command(database: DuckDBStore) -> None:
    """A comparison that leaves a scale out in silence would be taken for the whole."""
    _complete(database, PLAN, METRIC)
    _complete(database, OTHER)
    with pytest.raises(UsageError, match=r"^tiny @ 2m: no metrics yet; run 'vlmprobe analyze tiny' first$"):
        _choose(database)
