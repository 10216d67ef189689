"""Someone's DuckDB session holds the database: extraction goes on, and the rows follow."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from ..command_line import PATIENCE_S
from ..holder import hold_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.full
@pytest.mark.parametrize(
    ("seconds", "per_category"),
    [pytest.param(None, 16, id="until it has gone on"), pytest.param(120, 100, id="120s")],
)
def test_extraction_goes_on_while_a_shell_holds_the_database(
    seconds: int | None,
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
    holder = hold_database(tmp_path, seconds or 600)
    there = len(list(tmp_path.glob("spool/*/*.safetensors")))
    names_holder = re.compile(rf"process {holder.pid}\b").search
    assert any(map(names_holder, process.stderr))
    wait_until(lambda: len(list(tmp_path.glob("spool/*/*.safetensors"))) > there, process)
    assert holder.poll() is None
    if seconds is None:
        holder.kill()
    holder.wait()
    assert not any(map(names_holder, process.stderr))
    assert process.wait(PATIENCE_S) == 0

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
        assert any("waiting until the rows of" in line for line in process.stderr)
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
