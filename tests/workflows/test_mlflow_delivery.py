"""MLflow shows what the database holds: late if it was away, once however often it is told."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient

from ..left_behind import change_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Port 1 refuses at once; without retries the tests need not wait for what does not come.
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@dataclass(frozen=True, slots=True)
class Home:
    """A home with one analyzed run, and a run of a command on it."""

    path: Path
    ran: Any

    def points(self) -> list[tuple[Any, ...]]:
        """Return every point of every metric history in the home's MLflow store."""
        with contextlib.closing(sqlite3.connect(self.path / "mlflow.db")) as store:
            return store.execute(
                "SELECT run_uuid, key, step, timestamp, value FROM metrics ORDER BY 1, 2, 3, 4"
            ).fetchall()

    def runs(self) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path / "mlflow.db")) as store:
            return store.execute("SELECT name, status, lifecycle_stage FROM runs").fetchall()

    def spool(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("spool/*/*"))


@pytest.fixture(scope="module")
def undelivered(
    vlmprobe: Any, benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """Extract and analyze 24 pairs while no MLflow answers."""
    home = tmp_path_factory.mktemp("home")
    command = ("extract", "tiny", "--scale", "2m", "--data", benchmark(4), "--batch-size", 8, "--home", home)
    extracted = vlmprobe(*command, VLMPROBE_SHARD_PAIRS="8", **AWAY)
    analyzed = vlmprobe("analyze", "--home", home, **AWAY)
    assert (extracted.code, analyzed.code) == (0, 0)
    for ran in (extracted, analyzed):
        assert ran.err.count("upload it later with 'vlmprobe sync'") == 1
        assert ran.errors == []
    return Home(home, extracted)


@pytest.fixture(scope="module")
def delivered(undelivered: Home, vlmprobe: Any, empty_mlflow: Path) -> Home:
    """Sync it to the home's own store."""
    shutil.copy(empty_mlflow, undelivered.path / "mlflow.db")
    return Home(undelivered.path, vlmprobe("sync", "--json", "--home", undelivered.path).ok())


def test_a_run_without_mlflow_is_whole(undelivered: Home, rows: Any, vlmprobe: Any) -> None:
    """MLflow away: rows, metrics and hidden states are all there, and exit code 0 with a note."""
    assert rows(undelivered.path, "SELECT status, count(*) OVER () FROM runs") == [("complete", 1)]
    assert rows(undelivered.path, "SELECT count(*) FROM predictions") == [(48,)]
    assert rows(undelivered.path, "SELECT count(*) > 100 FROM metrics") == [(True,)]
    # On Postgres the holder of the run's lease is part of the name.
    assert [name[:5] for name in undelivered.spool()] == ["00001", "00002", "00003"]
    vlmprobe("db", "check", "--home", undelivered.path).ok()


def test_sync_delivers_what_waited(delivered: Home, rows: Any) -> None:
    """Every number of the database is in MLflow, and every shard is an artifact."""
    (told,) = json.loads(delivered.ran.out)
    assert (told["shards_uploaded"], told["shards_waiting"], told["state"]) == (3, 0, "in MLflow")
    assert delivered.runs() == [("tiny @ 2m", "FINISHED", "active")]
    values = sorted(value for *_, value in delivered.points())
    stored = rows(delivered.path, "SELECT value FROM metrics WHERE value IS NOT NULL ORDER BY value")
    assert values == [value for (value,) in stored]
    for uri, n_bytes in rows(delivered.path, "SELECT artifact_uri, n_bytes FROM shards"):
        # Whole in a database that homes share.
        assert (delivered.path / uri.removeprefix("file:")).stat().st_size == n_bytes
    assert rows(delivered.path, "SELECT count(*) FROM metrics WHERE synced_at IS NULL") == [(0,)]


def test_sync_again_adds_nothing(delivered: Home, vlmprobe: Any) -> None:
    """A replay writes the same points with the same times, which MLflow keeps once."""
    before = delivered.points()
    vlmprobe("sync", "--home", delivered.path).ok()
    assert delivered.points() == before
    assert delivered.runs() == [("tiny @ 2m", "FINISHED", "active")]


@pytest.mark.full
def test_prune_keeps_what_mlflow_has_lost(delivered: Home, vlmprobe: Any) -> None:
    """That a shard was delivered once is not enough to remove it here: MLflow's copy is fetched and compared."""
    one, two, _ = sorted(delivered.path.rglob("hidden_states/*.safetensors"))
    one.unlink()
    two.write_bytes(two.read_bytes()[:-1] + b"?")

    ran = vlmprobe("sync", "--prune", "--home", delivered.path).ok()

    told = "MLflow had no intact copy of 2 of 3 shards; delivered again; they stay in the spool"
    assert told in ran.err
    assert [name[:5] for name in delivered.spool()] == ["00001", "00002"]
    vlmprobe("verify", "--home", delivered.path).ok()


def test_prune_frees_the_spool_and_analyze_goes_on_from_the_artifacts(delivered: Home, vlmprobe: Any) -> None:
    """After ``sync --prune`` no shard is left in the spool, and every metric comes out as it was."""
    vlmprobe("sync", "--prune", "--home", delivered.path).ok()
    assert delivered.spool() == []
    (told,) = json.loads(vlmprobe("analyze", "--json", "--home", delivered.path).ok().out)
    assert (told["pairs"], told["new"], told["changed"]) == (24, 0, 0)
    assert told["unchanged"] > 100


@pytest.mark.full
def test_a_run_deleted_in_mlflow_takes_no_pruned_shard_with_it(
    delivered: Home, vlmprobe: Any, rows: Any
) -> None:
    """The spool is free, and MLflow's run is in its waste bin: each shard is fetched before the run is made anew."""
    assert delivered.spool() == []
    for cached in delivered.path.glob("cache/*/*"):
        cached.unlink()
    ((mlflow_run_id,),) = rows(delivered.path, "SELECT mlflow_run_id FROM runs")
    MlflowClient(f"sqlite:///{delivered.path}/mlflow.db").delete_run(mlflow_run_id)

    vlmprobe("sync", "--home", delivered.path).ok()

    assert rows(delivered.path, "SELECT count(*) FROM shards WHERE synced_at IS NULL") == [(0,)]
    vlmprobe("verify", "--home", delivered.path).ok()
    assert [state for *_, state in delivered.runs()].count("active") == 1


@pytest.mark.full
def test_points_that_a_killed_process_left_are_not_drawn_twice(
    delivered: Home, vlmprobe: Any, rows: Any
) -> None:
    """It had sent them and could not say so; values that differ then go to a fresh run, as after any change."""
    ((config,),) = rows(delivered.path, "SELECT config FROM runs")
    flagged = json.dumps({**json.loads(config), "mlflow_sending": True}).replace("'", "''")
    change_rows(
        delivered.path,
        "UPDATE metrics SET synced_at = NULL, value = value * 2 WHERE name = 'axis_coherence'",
        f"UPDATE runs SET config = '{flagged}'",
    )

    vlmprobe("analyze", "--home", delivered.path).ok()

    ((mlflow_run_id,),) = rows(delivered.path, "SELECT mlflow_run_id FROM runs")
    shown = [(key, step) for run, key, step, *_ in delivered.points() if run == mlflow_run_id]
    assert len(shown) == len(set(shown)) > 100
    assert rows(delivered.path, "SELECT config->>'mlflow_sending' = 'true' FROM runs") != [(True,)]
