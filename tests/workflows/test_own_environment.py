"""A run whose model lives in a process of another Python: killed twice, it ends with the rows of an undisturbed one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SHARD_PAIRS = {"VLMPROBE_SHARD_PAIRS": "16"}


def _worker_of(process: Any) -> int:
    """Return the process that a command started to serve its model."""
    tasks = Path(f"/proc/{process.pid}/task")
    children = [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    (worker,) = [
        child for child in children if b"bootstrap.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return int(worker)


@pytest.mark.full
def test_a_worker_killed_twice_costs_no_row(
    study: Any,
    shell: Any,
    left: Any,
    committed: Callable[[Path], int],
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
) -> None:
    """Each kill is one line and exit code 1; the third start finishes, and all is as in the process of the parent."""
    elsewhere, home = type(shell)(tmp_path), tmp_path / "home"
    (tmp_path / "vlmprobe.toml").write_text(f'[families.tiny]\npython = "{sys.executable}"\n')
    command = ("extract", "tiny", "--scale", "2m", "--data", study.data, "--batch-size", 8, "--home", home)
    kept = 0
    for _ in range(2):
        process = elsewhere.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
        wait_until(lambda: committed(home) > kept, process)  # noqa: B023  (called before kept changes)
        os.kill(_worker_of(process), signal.SIGKILL)
        ended = elsewhere.finish(process)
        assert ended.code == 1, ended.err
        (line,) = ended.errors
        assert "was ended by SIGKILL (out of memory, perhaps) while answering a batch" in line
        assert line.endswith("what was answered is kept: start the same command again to go on")
        kept = committed(home)
    resumed = elsewhere(*command, **SHARD_PAIRS, **mlflow_store).ok()

    assert "pairs reused" in resumed.err
    ours, theirs = left(home), left(study.home)
    assert ours.answers == theirs.answers
    assert ours.states == theirs.states
    assert ours.certificates == theirs.certificates
    assert ours.in_shards == theirs.in_shards == sorted(set(ours.in_shards))
