"""MLflow as a projection: everything may be replayed, and a replay adds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient

from vlmprobe.errors import TrackingError
from vlmprobe.settings import Settings
from vlmprobe.store.metrics import StoredMetric
from vlmprobe.store.mlflow_connection import MlflowConnection, mlflow_environment
from vlmprobe.store.tracking import MetricPoint, Tracker, metric_points

from ..command_line import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

START = """
import sys
from pathlib import Path
from vlmprobe.settings import Settings
from vlmprobe.store.tracking import MetricPoint, Tracker
settings = Settings.load(Path(sys.argv[1]), environ={}, folder=Path(sys.argv[1]))
sys.stdin.readline()
print(Tracker(settings).experiment_id())
"""
METRIC = StoredMetric(
    name="axis_coherence",
    version=1,
    subset="all",
    target="distance",
    layer=17,
    value=0.25,
    std=None,
    n=10,
    computed_at=datetime(2026, 1, 2, 3, 4, 5, 678000),  # noqa: DTZ001 - UTC, as stored
    synced_at=None,
)


@pytest.fixture
def tracker(local_mlflow: Settings) -> Tracker:
    """Log to a store of the test's own."""
    return Tracker(local_mlflow)


@pytest.fixture
def client(local_mlflow: Settings) -> MlflowClient:
    """Look at the store the way anyone would."""
    return MlflowClient(local_mlflow.tracking_uri)


@pytest.mark.parametrize(
    ("changed", "key", "step"),
    [
        ({}, "layer/axis_coherence.distance", 17),
        ({"layer": 0}, "layer/axis_coherence.distance", 0),
        ({"subset": "both_correct"}, "layer_both_correct/axis_coherence.distance", 17),
        ({"layer": -1, "name": "accuracy.both", "target": "overall"}, "summary/accuracy.both.overall", 0),
        ({"target": "above/far"}, "layer/axis_coherence.above-far", 17),
    ],
)
def test_metrics_are_named_by_section_metric_and_target(changed: dict[str, Any], key: str, step: int) -> None:
    """MLflow groups its charts by what stands before the last slash; the time is the stored one."""
    stamp = 1767323045678  # 2026-01-02 03:04:05.678 UTC
    assert metric_points([replace(METRIC, **changed)]) == [MetricPoint(key, 0.25, step, stamp)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_not_logged(value: float) -> None:
    """MLflow would store 1.8e308."""
    assert metric_points([replace(METRIC, value=value), METRIC]) == metric_points([METRIC])


def test_logging_twice_adds_nothing(tracker: Tracker, client: MlflowClient, study: Any) -> None:
    """Also beyond the thousand that fit into one request."""
    mlflow_run_id = tracker.ensure_run(study.run("r1"))
    points = metric_points([replace(METRIC, layer=layer, value=layer / 7) for layer in range(1100)])
    for _ in range(2):
        tracker.log_points(mlflow_run_id, points)
    history = client.get_metric_history(mlflow_run_id, "layer/axis_coherence.distance")
    assert sorted((point.step, point.value) for point in history) == [(i, i / 7) for i in range(1100)]
    assert {point.timestamp for point in history} == {1767323045678}


def test_a_run_carries_what_names_it(tracker: Tracker, client: MlflowClient, study: Any) -> None:
    """As tags and as parameters, in the experiment of the settings; unknown facts are left out."""
    mlflow_run_id = tracker.ensure_run(study.run("r1", global_steps=None))
    run = client.get_run(mlflow_run_id)
    assert run.info.run_name == "tiny @ 80k"
    assert run.info.experiment_id == tracker.experiment_id()
    assert client.get_experiment(run.info.experiment_id).name == "vlmprobe"
    assert run.data.tags["vlmprobe.run_id"] == "r1"
    facts = {
        "family": "tiny",
        "scale": "80k",
        "samples_seen": "80000",
        "dataset": "bench",
        "template": "published",
        "checkpoint": "somewhere",
    }
    assert run.data.params == facts
    assert facts.items() <= run.data.tags.items()
    tracker.finish(mlflow_run_id, "FINISHED")
    assert client.get_run(mlflow_run_id).info.status == "FINISHED"


def test_a_run_is_found_again_after_a_crash(tracker: Tracker, client: MlflowClient, study: Any) -> None:
    """MLflow has it although the database never heard: a second one would show every curve twice."""
    run = study.run("r1")
    first = tracker.ensure_run(run)
    assert tracker.ensure_run(run) == first
    assert tracker.ensure_run(replace(run, mlflow_run_id=first)) == first
    assert tracker.ensure_run(study.run("r2")) != first
    assert len(client.search_runs([tracker.experiment_id()])) == 2


@pytest.mark.parametrize("gone", ["deleted", "never there"])
def test_a_run_that_is_gone_is_made_anew(
    tracker: Tracker, client: MlflowClient, study: Any, gone: str
) -> None:
    """Someone deleted it, or pointed us at another store: sync still works."""
    run = study.run("r1")
    known = "0" * 32 if gone == "never there" else tracker.ensure_run(run)
    if gone == "deleted":
        client.delete_run(known)
    fresh = tracker.ensure_run(replace(run, mlflow_run_id=known))
    assert fresh != known
    assert client.get_run(fresh).info.lifecycle_stage == "active"


def test_changed_values_get_a_fresh_run(tracker: Tracker, client: MlflowClient, study: Any) -> None:
    """The old one says which run took its place, and can be restored."""
    run = study.run("r1")
    old = tracker.ensure_run(run)
    fresh = tracker.replace_run(replace(run, mlflow_run_id=old))
    assert [each.info.run_id for each in client.search_runs([tracker.experiment_id()])] == [fresh]
    assert client.get_run(old).info.lifecycle_stage == "deleted"
    assert client.get_run(old).data.tags["superseded"] == fresh
    # Restored, it is not taken for the one to show, even when there is no other.
    client.restore_run(old)
    assert tracker.ensure_run(run) == fresh
    client.delete_run(fresh)
    assert tracker.ensure_run(run) not in {old, fresh}


def test_replacing_again_after_a_crash_gives_the_same_run(
    tracker: Tracker, client: MlflowClient, study: Any
) -> None:
    """The old run was deleted, then the machine went down before the database knew."""
    run = study.run("r1")
    run = replace(run, mlflow_run_id=tracker.ensure_run(run))
    assert tracker.replace_run(run) == tracker.replace_run(run)
    assert len(client.search_runs([tracker.experiment_id()])) == 1


def test_a_file_goes_up_and_comes_back(
    tracker: Tracker, study: Any, settings: Settings, tmp_path: Path
) -> None:
    """The address that upload returns is the one that download takes; artifacts lie in the home."""
    (tmp_path / "a.txt").write_text("hello")
    uri = tracker.upload(tracker.ensure_run(study.run("r1")), tmp_path / "a.txt", "figures")
    assert uri.startswith(settings.artifacts.as_uri())
    assert uri.endswith("/figures/a.txt")
    assert tracker.download(uri, tmp_path / "back").read_text() == "hello"


def test_an_address_with_a_password_does_not_get_into_the_database(
    tracker: Tracker, study: Any, client: MlflowClient, settings: Settings, tmp_path: Path
) -> None:
    """MLflow is asked for the file by its run then, and knows itself where that is."""
    settings.artifacts.mkdir(parents=True)
    # A user before a file's host means nothing to MLflow, so the real store takes it as a real server's.
    location = settings.artifacts.as_uri().replace("file://", "file://me:secret@localhost")
    client.create_experiment(settings.experiment, artifact_location=location)
    (tmp_path / "a.txt").write_text("hello")
    run_id = tracker.ensure_run(study.run("r1"))
    assert "secret" in client.get_run(run_id).info.artifact_uri

    uri = tracker.upload(run_id, tmp_path / "a.txt", "figures")

    assert uri == f"runs:/{run_id}/figures/a.txt"
    assert tracker.download(uri, tmp_path / "back").read_text() == "hello"


def test_a_deleted_experiment_is_restored(
    tracker: Tracker, client: MlflowClient, local_mlflow: Settings
) -> None:
    """MLflow keeps its name taken, so a new one could not be made."""
    experiment_id = tracker.experiment_id()
    client.delete_experiment(experiment_id)
    assert Tracker(local_mlflow).experiment_id() == experiment_id
    assert client.get_experiment(experiment_id).lifecycle_stage == "active"


def test_no_server_is_one_line(mlflow_away: Settings, study: Any) -> None:
    """Which names the server, but not a password in its address."""
    run = study.run("r1")
    away = replace(mlflow_away, tracking_uri="http://me:secret@127.0.0.1:1")
    with pytest.raises(TrackingError) as caught:
        Tracker(away).ensure_run(run)
    assert str(caught.value).startswith("MLflow at http://127.0.0.1:1: ")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_is_none_is_one_line(settings: Settings) -> None:
    """A text file where the sqlite store should be."""
    settings.home.mkdir(parents=True)
    (settings.home / "mlflow.db").write_text("not a store, but long enough to be looked at " * 20)
    with pytest.raises(TrackingError, match=r"MLflow at sqlite:///.*mlflow.db: "):
        Tracker(settings).experiment_id()


def test_naming_a_store_contacts_nothing(settings: Settings) -> None:
    """A command that logs nothing makes no store."""
    assert Tracker(settings).is_local
    assert not Tracker(replace(settings, tracking_uri="http://127.0.0.1:1")).is_local
    assert not settings.home.exists()


def test_mlflow_is_quiet_unless_the_user_says_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dotenv file wins over our defaults, and the process environment over both."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    dotenv = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"}
    environment = mlflow_environment(replace(settings, environment=dotenv))
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in environment


def _start_at_once(child: Any, home: Path, count: int) -> list[str]:
    children = [child(START, home) for _ in range(count)]
    for each in children:
        each.process.stdin.write("\n")
        each.process.stdin.flush()
    return [each.finish() for each in children]


@pytest.mark.parametrize("count", [pytest.param(n, marks=pytest.mark.full) for n in (2, 6)])
def test_processes_that_start_on_a_new_store_at_once_all_succeed(
    tmp_path: Path, child: Any, count: int
) -> None:
    """And find the same experiment; without our lock all of them fail and the store stays broken."""
    ids = _start_at_once(child, tmp_path / "home", count)
    assert len(ids) == count
    assert len(set(ids)) == 1
    assert ids[0].isdecimal()


def test_mlflow_is_ready_when_what_went_on_meanwhile_is_done(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is open: nothing is left to load."""
    with tracker.connecting():
        pass

    monkeypatch.delattr(MlflowConnection, "_make_client")
    assert tracker.experiment_id()


def test_a_store_that_does_not_open_is_no_error_before_it_is_needed(settings: Settings) -> None:
    """What goes on meanwhile goes on; the error comes where something is to be logged."""
    settings.home.mkdir(parents=True)
    (settings.home / "mlflow.db").write_text("not a store, but long enough to be looked at " * 20)
    tracker = Tracker(settings)

    with tracker.connecting():
        done = True

    assert done
    with pytest.raises(TrackingError, match=r"MLflow at sqlite:///.*mlflow.db: "):
        tracker.experiment_id()


def test_a_run_that_mlflow_made_twice_is_shown_once(
    tracker: Tracker, client: MlflowClient, study: Any
) -> None:
    """The answer to creating it was lost, so it was asked for again; or a server that hung did it late."""
    run = study.run("r1")
    kept = tracker.ensure_run(run)
    experiment = tracker.experiment_id()
    twin = client.create_run(experiment, tags={"vlmprobe.run_id": "r1"}).info.run_id
    other = client.create_run(experiment, tags={"vlmprobe.run_id": "r2"}).info.run_id
    tracker.remove_twins(run, kept)
    shown = {found.info.run_id for found in client.search_runs([experiment])}
    assert shown == {kept, other}
    assert client.get_run(twin).data.tags["superseded"] == kept


KILLED_WHILE_MADE = """
import os, signal, sys, threading, time
from pathlib import Path
from vlmprobe.settings import Settings
from vlmprobe.store.tracking import Tracker

home = Path(sys.argv[1])

def kill():
    while not any(path.stat().st_size > 50_000 for path in home.glob(".mlflow.db.*.partial")):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
Tracker(Settings.load(home, environ={}, folder=home)).experiment_id()
"""


@pytest.mark.full
def test_a_kill_while_the_store_is_made_leaves_none(tmp_path: Path) -> None:
    """Half of MLflow's tables could never be used again: the file has its name only when it is whole."""
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_MADE, str(tmp_path)], check=False, timeout=PATIENCE_S
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    assert Tracker(Settings.load(tmp_path, environ={}, folder=tmp_path)).experiment_id() == "1"
    assert [path.name for path in tmp_path.glob(".mlflow.db*")] == []
