"""Someone's DuckDB session holds the database: extraction goes on, and the rows follow."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from ..holder import hold_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("seconds", "per_category"),
    [
        pytest.param(6, 16, id="6s", marks=pytest.mark.full),
        pytest.param(120, 100, id="120s", marks=pytest.mark.full),
    ],
)
def test_extraction_goes_on_while_a_shell_holds_the_database(
    seconds: int,
    per_category: int,
    shell: Any,
    inside: Any,
    benchmark: Callable[..., Path],
    rows: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Shards pile up in the spool, the holder's PID is told once, the rows come after the release."""
    data = benchmark(per_category)
    command = ("extract", "tiny", "--scale", "2m", "--data", data, "--batch-size", 8, "--home", tmp_path)
    process = shell.start(*command, VLMPROBE_SHARD_PAIRS="16", **mlflow_store)
    wait_until(lambda: committed(tmp_path) >= 1, process)
    holder = hold_database(tmp_path, seconds)
    released = time.monotonic() + seconds

    spooled = [len(list(tmp_path.glob("spool/*/*.safetensors")))]
    while time.monotonic() < released - 1:
        time.sleep(0.5)
        spooled.append(len(list(tmp_path.glob("spool/*/*.safetensors"))))
    assert process.poll() is None  # it waits to write the rows
    holder.wait()
    ran = shell.finish(process).ok()

    assert spooled[-1] > spooled[0]
    told = [line for line in ran.err.splitlines() if re.search(rf"process {holder.pid}\b", line)]
    assert len(told) == 1
    n_pairs = 6 * per_category
    assert rows(tmp_path, "SELECT status FROM runs") == [("complete",)]
    assert rows(tmp_path, "SELECT count(*), count(DISTINCT pair_id) FROM predictions") == [
        (2 * n_pairs, n_pairs)
    ]
    inside("db", "check", "--home", tmp_path).ok()


@pytest.mark.full
def test_a_second_ctrl_c_does_not_wait_for_the_database(
    shell: Any,
    benchmark: Callable[..., Path],
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Held throughout: the first Ctrl-C waits for the rows, the second ends with 130 and one line, and no dump."""
    command = ("extract", "tiny", "--scale", "2m", "--data", benchmark(16), "--batch-size", 8)
    process = shell.start(*command, "--home", tmp_path, VLMPROBE_SHARD_PAIRS="16", **mlflow_store)
    wait_until(lambda: committed(tmp_path) >= 1, process)
    holder = hold_database(tmp_path, 600)
    try:
        there = len(list(tmp_path.glob("spool/*/*.safetensors")))
        wait_until(lambda: len(list(tmp_path.glob("spool/*/*.safetensors"))) > there, process)
        process.send_signal(signal.SIGINT)
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stopped = shell.finish(process)
    finally:
        holder.kill()
        holder.wait()
    assert stopped.code == 130
    assert len(stopped.errors) == 1
    assert "terminate called" not in stopped.err


@pytest.mark.full
def test_shards_without_rows_are_adopted_by_the_next_start(
    study: Any,
    shell: Any,
    inside: Any,
    left: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Killed while a shell held the database: the spool's shards become rows, their pairs are not asked again."""
    command = (
        "extract",
        "tiny",
        "--scale",
        "2m",
        "--data",
        study.data,
        "--batch-size",
        8,
        "--home",
        tmp_path,
    )
    settings = {"VLMPROBE_SHARD_PAIRS": "16", **mlflow_store}
    process = shell.start(*command, **settings)
    wait_until(lambda: committed(tmp_path) >= 1, process)
    holder = hold_database(tmp_path, 600)
    wait_until(lambda: len(list(tmp_path.glob("spool/*/*.safetensors"))) == 6, process)
    process.kill()
    shell.finish(process)
    holder.kill()
    holder.wait()
    kept = committed(tmp_path)
    assert kept < 6

    resumed = shell(*command, **settings).ok()

    assert f"96 of 96 pairs reused, {6 - kept} shards recovered from the spool" in resumed.err
    assert left(tmp_path) == left(study.home)
    inside("db", "check", "--home", tmp_path).ok()
