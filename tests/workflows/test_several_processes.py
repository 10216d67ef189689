"""Several processes on one home: they queue for the database and the MLflow store, and none loses anything."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def _extract(home: Path, scale: str, data: Path, *more: object) -> tuple[object, ...]:
    return ("extract", "tiny", "--scale", scale, "--data", data, "--batch-size", 8, "--home", home, *more)


def _mlflow_runs(home: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(home / "mlflow.db")) as store:
        return store.execute("SELECT name, status FROM runs ORDER BY name").fetchall()


def _is_stopped(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(task.read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


def _pause(process: subprocess.Popen[str], home: Path) -> None:
    """Stop a process at a moment at which it does not hold the database's lock."""
    while True:
        process.send_signal(signal.SIGSTOP)
        # The signal takes a moment to reach every thread, and one may take the lock in it.
        while not _is_stopped(process.pid):
            time.sleep(0.01)
        with (home / "vlmprobe.duckdb.lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.01)
                continue
            return


def _check_each(rows: Any, home: Path, runs: list[tuple[str, str, int]]) -> None:
    """Every run is complete, with all its pairs and shards, the shards as artifacts of its MLflow run."""
    found = rows(
        home,
        """
        SELECT scale, status, (SELECT count(*) // 2 FROM predictions AS p WHERE p.run_id = runs.run_id)
        FROM runs ORDER BY ALL
        """,
    )
    assert found == sorted(runs)
    shards = rows(home, "SELECT artifact_uri, n_bytes FROM shards")
    for uri, n_bytes in shards:
        assert (home / uri).stat().st_size == n_bytes
    assert {status for _, status in _mlflow_runs(home)} == {"FINISHED"}


@pytest.mark.full
def test_two_at_once_on_a_new_home_and_a_third_of_the_same_run(
    shell: Any,
    inside: Any,
    benchmark: Callable[..., Path],
    rows: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    tmp_path: Path,
) -> None:
    """Two scales started together both end well; a second start of one of them is told who is at work."""
    data = benchmark(8)
    settings = {"VLMPROBE_SHARD_PAIRS": "16"}
    first = shell.start(*_extract(tmp_path, "2m", data), **settings)
    second = shell.start(*_extract(tmp_path, "80k", data), **settings)
    wait_until(lambda: committed(tmp_path) >= 1, first)
    _pause(first, tmp_path)
    third = inside(*_extract(tmp_path, "2m", data))
    first.send_signal(signal.SIGCONT)

    assert third.code == 1
    assert len(third.errors) == 1
    assert f"process {first.pid} " in third.errors[0]
    for process in (first, second):
        shell.finish(process).ok()
    _check_each(rows, tmp_path, [("2m", "complete", 48), ("80k", "complete", 48)])
    assert [name for name, _ in _mlflow_runs(tmp_path)] == ["tiny @ 2m", "tiny @ 80k"]
    inside("db", "check", "--home", tmp_path).ok()


@pytest.mark.full
def test_six_at_once_on_a_new_home(
    shell: Any, inside: Any, benchmark: Callable[..., Path], rows: Any, tmp_path: Path
) -> None:
    """Six runs started at once on no database and no MLflow store: all end well, nothing is lost."""
    asked = [("vanilla", 8), ("80k", 8), ("400k", 8), ("800k", 8), ("2m", 8), ("2m", 10)]
    processes = [
        shell.start(*_extract(tmp_path, scale, benchmark(size)), VLMPROBE_SHARD_PAIRS="8")
        for scale, size in asked
    ]
    for process in processes:
        shell.finish(process).ok()
    _check_each(rows, tmp_path, [(scale, "complete", 6 * size) for scale, size in asked])
    assert len(_mlflow_runs(tmp_path)) == 6
    assert rows(tmp_path, "SELECT count(*), count(DISTINCT run_id) FROM shards") == [(5 * 6 + 8, 6)]
    inside("db", "check", "--home", tmp_path).ok()
