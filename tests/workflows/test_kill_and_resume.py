"""A run that was killed, or stopped by hand, goes on where it was: bit for bit as if nothing had happened."""

from __future__ import annotations

import random
import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHARD_PAIRS = {"VLMPROBE_SHARD_PAIRS": "16"}


def _extract(home: Path, data: Path) -> tuple[object, ...]:
    return ("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", 8, "--home", home)


def _reused(err: str) -> int:
    """Read how many pairs a resumed run says it had already."""
    said = re.search(r"resuming run \S+: (\d+) of \d+ pairs reused", err)
    assert said is not None, err
    return int(said.group(1))


def _assert_whole(left: Any, undisturbed: Any) -> None:
    assert left.answers == undisturbed.answers
    assert left.states == undisturbed.states
    assert left.certificates == undisturbed.certificates
    assert left.in_shards == undisturbed.in_shards == sorted(set(left.in_shards))


def _assert_stopped(stopped: Any, home: Path, rows: Any) -> int:
    """Check a clean stop; return how many pairs it kept."""
    assert stopped.code == 130
    assert stopped.errors == ["error: stopped; finished work is kept; rerun the same command to resume"]
    assert "Traceback" not in stopped.err
    assert rows(home, "SELECT status, lease FROM runs") == [("interrupted", None)]
    ((pairs,),) = rows(home, "SELECT count(*) // 2 FROM predictions")
    assert pairs >= 16
    assert pairs % 8 == 0  # whole batches
    return int(pairs)


def test_a_run_that_was_killed_ends_bit_equal(
    study: Any,
    shell: Any,
    inside: Any,
    left: Any,
    rows: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """SIGKILL after the first shard: the next start reuses what is there, and the end is whole."""
    command = _extract(tmp_path, study.data)
    process = shell.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
    wait_until(lambda: committed(tmp_path) >= 1, process)
    process.kill()
    assert shell.finish(process).code == -signal.SIGKILL
    kept = committed(tmp_path)

    resumed = inside(*command, **SHARD_PAIRS, **mlflow_store).ok()

    assert _reused(resumed.err) >= 16 * kept
    assert rows(tmp_path, "SELECT status FROM runs") == [("complete",)]
    _assert_whole(left(tmp_path), left(study.home))
    inside("db", "check", "--home", tmp_path).ok()


@pytest.mark.full
def test_a_run_killed_and_then_stopped_ends_bit_equal(
    study: Any,
    shell: Any,
    inside: Any,
    left: Any,
    rows: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """SIGKILL after the first shard, Ctrl-C after a later one: each start reuses what is there; the end is whole."""
    command = _extract(tmp_path, study.data)
    process = shell.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
    wait_until(lambda: committed(tmp_path) >= 1, process)
    process.kill()
    assert shell.finish(process).code == -signal.SIGKILL
    kept = committed(tmp_path)

    process = shell.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
    wait_until(lambda: committed(tmp_path) > kept, process)
    process.send_signal(signal.SIGINT)
    stopped = shell.finish(process)

    assert _reused(stopped.err) >= 16 * kept
    pairs = _assert_stopped(stopped, tmp_path, rows)

    resumed = inside(*command, **SHARD_PAIRS, **mlflow_store).ok()

    assert _reused(resumed.err) == pairs
    assert rows(tmp_path, "SELECT status FROM runs") == [("complete",)]
    _assert_whole(left(tmp_path), left(study.home))
    inside("db", "check", "--home", tmp_path).ok()


def test_a_run_that_was_finished_asks_nothing(
    study: Any, vlmprobe: Any, mlflow_store: dict[str, str]
) -> None:
    """The same command after the end says so, and reuses every pair."""
    again = vlmprobe(*_extract(study.home, study.data), **mlflow_store).ok()
    assert "complete already, all 96 pairs reused" in again.err
    assert "0 pairs extracted, 96 reused, 0 failed of 96" in again.err


@pytest.mark.full
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("shards", [0, 1, 3])
def test_a_stopped_run_keeps_whole_batches_and_resumes_bit_equal(
    shards: int,
    stop: signal.Signals,
    study: Any,
    shell: Any,
    inside: Any,
    left: Any,
    rows: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Ctrl-C, or a scheduler's SIGTERM: exit code 130, one line, status ``interrupted``; the next start goes on."""
    command = _extract(tmp_path, study.data)
    process = shell.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
    if shards:
        wait_until(lambda: committed(tmp_path) >= shards, process)
    else:
        # The model is about to be loaded, or being loaded.
        wait_until(lambda: _is_running(rows, tmp_path), process)
    process.send_signal(stop)
    stopped = shell.finish(process)

    if shards:
        _assert_stopped(stopped, tmp_path, rows)
    else:
        assert (stopped.code, len(stopped.errors)) == (130, 1)
        assert rows(tmp_path, "SELECT status FROM runs") == [("interrupted",)]

    shell(*command, **SHARD_PAIRS, **mlflow_store).ok()
    _assert_whole(left(tmp_path), left(study.home))
    inside("db", "check", "--home", tmp_path).ok()


def _is_running(rows: Any, home: Path) -> bool:
    import duckdb

    try:
        return rows(home, "SELECT status FROM runs") == [("running",)]
    except (duckdb.Error, FileNotFoundError):
        return False


@pytest.mark.full
def test_ten_kills_at_random_moments(
    shell: Any,
    inside: Any,
    left: Any,
    benchmark: Callable[..., Path],
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ten runs killed at ten moments, three before any row was written: each ends with the undisturbed run's bits."""
    data, settings = benchmark(60), {"VLMPROBE_SHARD_PAIRS": "32", **mlflow_store}
    shell(*_extract(tmp_path / "undisturbed", data), **settings).ok()
    undisturbed = left(tmp_path / "undisturbed")
    chance = random.Random(605)
    # (shards whose rows are written, seconds after that)
    moments = [(0, chance.uniform(1, 9)) for _ in range(3)]
    moments += [(chance.randint(1, 9), chance.uniform(0, 0.4)) for _ in range(7)]
    table = []
    for number, (shards, seconds) in enumerate(moments):
        home = tmp_path / f"home{number}"
        command = _extract(home, data)
        process = shell.start_behind(*command, **settings)
        wait_until(lambda home=home, shards=shards: committed(home) >= shards, process)
        time.sleep(seconds)
        process.kill()
        assert shell.finish(process).code == -signal.SIGKILL
        kept, spooled = committed(home), len(list(home.glob("spool/*/*.safetensors")))
        resumed = shell(*command, **settings).ok()
        reused = _reused(resumed.err) if kept + spooled else 0
        table.append((f"{seconds:.2f} s after {shards} shards", kept, spooled, reused))
        assert reused >= 32 * kept
        _assert_whole(left(home), undisturbed)
        inside("db", "check", "--home", home).ok()
    with capsys.disabled():
        print(f"\n{'killed':<22} {'shards committed':>16} {'in the spool':>12} {'pairs reused':>12}")
        for moment, kept, spooled, reused in table:
            print(f"{moment:<22} {kept:>16} {spooled:>12} {reused:>9}/360")
    assert sum(kept >= 1 for _, kept, _, _ in table) >= 5


@pytest.mark.full
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_impatient_stop_is_told_as_one(
    stop: signal.Signals, study: Any, shell: Any, tmp_path: Path
) -> None:
    """Ctrl-C again and again, from the line that tells it until the process is gone: code 130, and one line."""
    process = shell.start(*_extract(tmp_path, study.data))
    told = []
    for line in process.stderr:
        told.append(line)
        if "loading" in line:
            process.send_signal(stop)
        if line.startswith("error: stopped"):
            break
    while process.poll() is None:
        process.send_signal(stop)
        time.sleep(0.001)
    assert process.returncode == 130
    assert sum(line.startswith("error:") for line in (*told, *process.stderr)) == 1
