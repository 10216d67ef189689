"""Processes that upload shards of one run, of which each has a part: one of them makes its MLflow run."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import TrackingError
from vlmprobe.store import one_mlflow_run
from vlmprobe.store.one_mlflow_run import linked_run
from vlmprobe.store.runs import get_run, set_config
from vlmprobe.store.storage import Storage

if TYPE_CHECKING:
    from vlmprobe.store.runs import Run


class Tracker:
    """An MLflow store that counts what is made in it, and takes its time."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.fails = False

    def shows(self, run: Run) -> bool:
        return run.mlflow_run_id in self.runs

    def ensure_run(self, _: Run) -> str:
        if self.fails:
            raise TrackingError("away")
        time.sleep(0.3)
        self.runs.append(f"m{len(self.runs) + 1}")
        return self.runs[-1]


@pytest.fixture
def tracker() -> Tracker:
    """Begin with an empty one."""
    return Tracker()


@pytest.fixture
def storage(study: Any, tracker: Tracker) -> Any:
    """Give it to a run that is in no MLflow yet."""
    study.run("r1")
    return Storage(study.database, tracker, Path())  # type: ignore[arg-type]


def test_of_several_that_begin_at_once_one_makes_it(storage: Any, tracker: Tracker, study: Any) -> None:
    """The others wait, and upload into the same one."""
    barrier, found = threading.Barrier(4), []

    def upload() -> None:
        barrier.wait()
        found.append(linked_run(storage, "r1")[1])

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["m1"] * 4
    assert tracker.runs == ["m1"]
    # Nothing is left of whose turn it was.
    assert study.rows("SELECT mlflow_run_id, CAST(config AS VARCHAR) FROM runs") == [("m1", "{}")]


def test_one_that_was_deleted_in_mlflow_is_made_anew(storage: Any, tracker: Tracker, study: Any) -> None:
    """And the run is linked to the new one."""
    linked_run(storage, "r1")
    tracker.runs[0] = "in the bin"
    run, mlflow_run_id = linked_run(storage, "r1")
    assert run.mlflow_run_id == mlflow_run_id == "m2"
    assert study.rows("SELECT mlflow_run_id FROM runs") == [("m2",)]


def test_a_process_that_died_at_its_turn_is_passed_over(
    storage: Any, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while in which nothing comes of it, by the clock of who waits."""
    with study.database.transaction() as connection:
        set_config(connection, "r1", {"mlflow_making": "of the dead"})
    monkeypatch.setattr(one_mlflow_run, "_PATIENCE_S", 1.0)
    began = time.monotonic()
    assert linked_run(storage, "r1")[1] == "m1"
    assert time.monotonic() - began > 1.0


def test_who_cannot_make_it_leaves_the_turn_to_others(storage: Any, tracker: Tracker, study: Any) -> None:
    """MLflow may be away for one machine alone."""
    tracker.fails = True
    with pytest.raises(TrackingError):
        linked_run(storage, "r1")
    with study.database.transaction() as connection:
        assert get_run(connection, "r1").config == {}
    tracker.fails = False
    assert linked_run(storage, "r1")[1] == "m1"
