"""When the process's own environment is changed: before a second thread could be reading it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.extraction.lazy_model import LazyModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import Shell

#: Loaded by every Python that has its folder on the path: tells which thread sets a variable.
_WATCHER = """\
import sys, threading

def watch(event, arguments):
    if event == "os.putenv" and threading.current_thread() is not threading.main_thread():
        sys.stderr.write(f"set beside others: {threading.current_thread().name} {arguments}\\n")

sys.addaudithook(watch)
"""


@pytest.mark.full
def test_only_the_main_thread_sets_environment_variables(
    shell: Shell, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """A library that reads its variables meanwhile would read what has moved: once in many runs, the process died."""
    watcher = tmp_path / "watcher"
    watcher.mkdir()
    (watcher / "sitecustomize.py").write_text(_WATCHER)
    data = benchmark(1)
    for command in (
        ("extract", "tiny", "--scale", "2m", "--data", data),
        ("analyze", "tiny"),
        ("merge", "tiny", "--out", tmp_path / "out"),
    ):
        ran = shell(*command, "--home", tmp_path / "home", PYTHONPATH=str(watcher)).ok()
        assert "set beside others" not in ran.err


def test_mlflows_variables_are_set_before_a_model_is_loaded(
    inside: Any, benchmark: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries that load it start threads, which may be reading the environment from then on."""
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    found = []

    def look(_model: LazyModel) -> None:
        found.append("MLFLOW_DISABLE_TELEMETRY" in os.environ)
        raise UsageError("seen")

    monkeypatch.setattr(LazyModel, "load", look)
    ran = inside("extract", "tiny", "--scale", "2m", "--data", benchmark(1), "--home", tmp_path / "home")
    assert ran.code == 2
    assert found == [True]
