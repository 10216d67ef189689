"""Addresses in MLflow's own store lead into the home that the store is in, and no other address changes."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.mlflow_addresses import former_artifacts, mend_addresses

if TYPE_CHECKING:
    from pathlib import Path

OLD = "file:///old/a%20home%231/mlartifacts"
TABLES = """
    CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT);
    CREATE TABLE runs (run_uuid TEXT, experiment_id INTEGER, artifact_uri TEXT);
    CREATE TABLE logged_models (artifact_location TEXT);
    CREATE TABLE model_versions (source TEXT, storage_location TEXT);
    CREATE TABLE trace_tags (key TEXT, value TEXT);
"""


def _store(home: Path, experiments: list[str | None], runs: list[tuple[str, int, str]] | None = None) -> Path:
    home.mkdir(exist_ok=True)
    with closing(sqlite3.connect(home / "mlflow.db")) as connection, connection:
        connection.executescript(TABLES)
        connection.executemany("INSERT INTO experiments VALUES (?, ?)", list(enumerate(experiments)))
        connection.executemany("INSERT INTO runs VALUES (?, ?, ?)", runs or [])
    return home / "mlflow.db"


def _column(store: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(store)) as connection:
        return [value for (value,) in connection.execute(sql)]


def test_every_address_of_the_former_place_leads_here(tmp_path: Path) -> None:
    """Experiments, runs, models and traces, in whatever form MLflow extended the address; other places stay."""
    home = tmp_path / "it's #2 %20"
    store = _store(
        home,
        [OLD, "/cwd/mlruns/0", f"{OLD}/2", "s3://bucket/mlartifacts", None],
        [("a", 0, f"{OLD}/a/artifacts"), ("b", 1, "/cwd/mlruns/0/b"), ("c", 0, f"{OLD}-2/c")],
    )
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("INSERT INTO logged_models VALUES ('/old/a home#1/mlartifacts/models/m')")
        connection.execute(f"INSERT INTO model_versions VALUES ('{OLD}/a/artifacts/m', 'models:/m')")
        connection.execute(f"INSERT INTO trace_tags VALUES ('mlflow.artifactLocation', '{OLD}/t')")
        connection.execute(f"INSERT INTO trace_tags VALUES ('note', '{OLD}/t')")
    artifacts = home / "mlartifacts"
    assert [str(folder) for folder in former_artifacts(store, artifacts)] == ["/old/a home#1/mlartifacts"]

    assert len(mend_addresses(store, artifacts)) == 1

    new = artifacts.as_uri()
    located = "SELECT artifact_location FROM experiments"
    assert _column(store, located) == [new, "/cwd/mlruns/0", f"{new}/2", "s3://bucket/mlartifacts", None]
    assert _column(store, "SELECT artifact_uri FROM runs") == [
        f"{new}/a/artifacts",
        "/cwd/mlruns/0/b",
        f"{OLD}-2/c",
    ]
    assert _column(store, "SELECT artifact_location FROM logged_models") == [f"{artifacts}/models/m"]
    assert _column(store, "SELECT source FROM model_versions") == [f"{new}/a/artifacts/m"]
    assert _column(store, "SELECT value FROM trace_tags") == [f"{new}/t", f"{OLD}/t"]
    assert mend_addresses(store, artifacts) == []


@pytest.mark.parametrize(
    ("has_runs_here", "has_runs_there", "is_former"),
    [(True, True, True), (False, True, False), (False, False, True), (True, False, True)],
    ids=["copied", "another home's", "no artifacts yet", "moved"],
)
def test_an_experiment_of_another_home_stays_where_it_is(
    tmp_path: Path, has_runs_here: bool, has_runs_there: bool, is_former: bool
) -> None:
    """A home may log to another one's store; its artifacts are in itself alone."""
    other = tmp_path / "other" / "mlartifacts"
    store = _store(tmp_path / "home", [other.as_uri()], [("a", 0, f"{other.as_uri()}/a/artifacts")])
    if has_runs_here:
        (tmp_path / "home" / "mlartifacts" / "a").mkdir(parents=True)
    if has_runs_there:
        (other / "a").mkdir(parents=True)
    assert bool(former_artifacts(store, tmp_path / "home" / "mlartifacts")) is is_former


def test_a_store_of_another_version_or_an_empty_one_is_no_trouble(tmp_path: Path) -> None:
    """Tables that are not there have no addresses."""
    store = tmp_path / "mlflow.db"
    sqlite3.connect(store).close()
    assert mend_addresses(store, tmp_path / "mlartifacts") == []
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executescript("CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)")
        connection.executescript("CREATE TABLE runs (run_uuid TEXT, experiment_id INTEGER)")
        connection.execute("INSERT INTO experiments VALUES (1, ?)", (OLD,))
    assert len(mend_addresses(store, tmp_path / "mlartifacts")) == 1
