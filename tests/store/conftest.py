"""Real databases and MLflow stores, copied from one that is made once, and rows made by hand."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import vlmprobe
from vlmprobe.pairs import Side
from vlmprobe.pairs.axes import SPACE
from vlmprobe.settings import Settings
from vlmprobe.store.axes import store_axes
from vlmprobe.store.checks import run_checks
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.identity import utc_now
from vlmprobe.store.kept_rows import forget_rows, keep_rows
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.store.open import open_database
from vlmprobe.store.rows import fetch, insert_rows
from vlmprobe.store.runs import Run, get_run
from vlmprobe.store.schema import DatasetRow, Prediction, RunRow, SwapPairRow
from vlmprobe.store.shards import Answer, ShardContent

from ..postgres_server import VARIABLE, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vlmprobe.store.engine import Database

_REPOSITORY = Path(vlmprobe.__file__).parents[1]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrate one new file, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "vlmprobe.duckdb"
    ensure_schema(DuckDBStore(path))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Everything below the test's own folder."""
    return Settings.load(tmp_path / "home", environ=_database(), folder=tmp_path)


def _database() -> dict[str, str]:
    """Return the setting that names a new Postgres database with the schema, where the tests use one."""
    return {"VLMPROBE_DATABASE_URL": running[0].migrated()} if VARIABLE in os.environ else {}


@pytest.fixture
def database(settings: Settings, empty_database: Path) -> Database:
    """Open a migrated database without rows."""
    settings.home.mkdir(parents=True, exist_ok=True)
    if settings.is_postgres:
        return open_database(settings)
    shutil.copy(empty_database, settings.database_path)
    return DuckDBStore(settings.database_path)


@pytest.fixture
def local_mlflow(settings: Settings, empty_mlflow: Path) -> Settings:
    """Give the settings an MLflow store of their own."""
    settings.home.mkdir(parents=True, exist_ok=True)
    shutil.copy(empty_mlflow, settings.home / "mlflow.db")
    return settings


@pytest.fixture
def mlflow_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Point the settings at a port where nothing listens."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    return replace(settings, tracking_uri="http://127.0.0.1:1")


@pytest.fixture(scope="session")
def begun_database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Add a dataset to the migrated file, to be copied: opening a database takes longer than that."""
    path = Path(shutil.copy(empty_database, tmp_path_factory.mktemp("begun") / "vlmprobe.duckdb"))
    begin(DuckDBStore(path))
    return path


@pytest.fixture
def study(database: Database, empty_database: Path, begun_database: Path) -> Study:
    """Make rows by hand."""
    if not isinstance(database, DuckDBStore):
        begin(database)
    elif filecmp.cmp(database.path, empty_database, shallow=False):
        shutil.copy(begun_database, database.path)
    else:
        begin(database)
    return Study(database)


def begin(database: Database) -> None:
    """Add the one dataset, whose pairs are to follow."""
    with database.transaction() as connection:
        insert_rows(
            connection,
            DatasetRow,
            [
                {
                    "dataset_id": "data",
                    "name": "bench",
                    "path": "bench.tsv",
                    "form": "embspatial",
                    "options": {},
                    "n_rows": 0,
                    "created_at": utc_now(),
                }
            ],
        )
        store_axes(connection, "data", SPACE)


class Study:
    """The rows of one dataset and its runs."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._position = 0

    def pairs(
        self, categories: Mapping[str, str], images: Mapping[str, str] | None = None, **same: Any
    ) -> None:
        """Add pairs to the dataset: id -> category; and, if known, id -> image."""
        rows = []
        for pair_id, name in categories.items():
            category = SPACE.category(name)
            self._position += 1
            rows.append(
                {
                    "dataset_id": "data",
                    "template": "published",
                    "pair_id": pair_id,
                    "origin": "row",
                    "position": self._position,
                    "category": str(category),
                    "axis": str(category.axis),
                    "orig_expected": str(category),
                    "orig_opposite": str(category.opposite),
                    "swap_expected": str(category.opposite),
                    "swap_opposite": str(category),
                    "image_sha256": (images or {}).get(pair_id),
                    **same,
                }
            )
        with self.database.transaction() as connection:
            insert_rows(connection, SwapPairRow, rows)

    def run(self, run_id: str = "r1", **changed: Any) -> Run:
        """Add a run."""
        row = {
            "run_id": run_id,
            "run_key": f"key of {run_id}",
            "dataset_id": "data",
            "template": "published",
            "family": "tiny",
            "scale": "80k",
            "checkpoint": "somewhere",
            "samples_seen": 80000,
            "status": "running",
            "provenance": "extracted",
            "created_at": utc_now(),
            "updated_at": utc_now(),
        }
        with self.database.transaction() as connection:
            insert_rows(connection, RunRow, [row | changed])
            return get_run(connection, run_id)

    def answers(self, run_id: str, correct: Mapping[str, tuple[bool, ...]]) -> None:
        """Add answers that no shard holds: pair -> (orig is right, swap is right)."""
        rows = [
            {
                "run_id": run_id,
                "pair_id": pair_id,
                "side": str(side),
                "correct": right,
                "checker": "published",
            }
            for pair_id, sides in correct.items()
            for side, right in zip(Side, sides, strict=False)
        ]
        with self.database.transaction() as connection:
            insert_rows(connection, Prediction, rows)
            if get_run(connection, run_id).status == "complete":
                forget_rows(connection, run_id)
                keep_rows(connection, run_id)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database; rows as tuples."""
        with self.database.transaction() as connection:
            return [tuple(row.values()) for row in fetch(connection, sql, parameters)]

    def broken_checks(self) -> list[str]:
        """Name the checks in queries/ that return a row."""
        with self.database.transaction() as connection:
            return [result.check for result in run_checks(connection) if result.rows]


@pytest.fixture
def shard_content() -> Callable[..., ShardContent]:
    """Make what a shard holds: by default two pairs, layers 0 and 5, four dimensions."""

    def make(number: int = 1, pair_ids: tuple[str, ...] = ("1", "2"), **changed: Any) -> ShardContent:
        text = changed.pop("text", "left")
        states = np.random.default_rng(number).normal(size=(2, len(pair_ids), 2, 4)).astype(np.float32)
        answers = tuple(
            Answer(pair_id, str(side), text, None, text == "left", "published", None, text == "left", 0.5)
            for pair_id in pair_ids
            for side in Side
        )
        facts: dict[str, Any] = {
            "run_id": "r1",
            "states": states,
            "dtype": "float32",
            "layers": (0, 5),
            "answers": answers,
        }
        return ShardContent(number=number, pair_ids=pair_ids, **(facts | changed))

    return make


def next_millisecond() -> None:
    """Return when the clock shows the next one: run ids sort by it."""
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == now:
        pass


class Child:
    """A Python process of its own, spoken to line by line."""

    def __init__(self, code: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY)},
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def read(self) -> str:
        """Wait for the next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def finish(self) -> str:
        """Let it go on to its end; return the rest of what it printed."""
        out, err = self.process.communicate("\n", timeout=300)
        assert self.process.returncode == 0, err
        return out.strip()

    def kill(self) -> None:
        """Send SIGKILL: nothing in it can react."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Start Python processes that end with the test."""
    children: list[Child] = []

    def start(code: str, *arguments: object) -> Child:
        children.append(Child(code, *map(str, arguments)))
        return children[-1]

    yield start
    for each in children:
        each.kill()
