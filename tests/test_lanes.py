"""Scales side by side: each task in another process, results in order, and every end is clean."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import InputError
from vlmprobe.families import ModelOptions
from vlmprobe.lanes import Lanes, Task, n_lanes
from vlmprobe.settings import Settings
from vlmprobe.workspace import Silent, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: What a lane does in these tests; ``folder`` is where tasks see of each other.
WORK = """
import os, time
from pathlib import Path
from vlmprobe.errors import InputError

def wait_for(path):
    while not path.exists():
        time.sleep(0.01)

def meet(workspace, show, folder, own, other):
    show("waiting for the other")
    Path(folder, own).touch()
    wait_for(Path(folder, other))
    with workspace.console.track("steps", 2) as advance:
        advance(2)
    workspace.console.warn(f"{own} met {other}")
    return own, os.getpid(), os.environ["OMP_NUM_THREADS"]

def fail(workspace, show, folder):
    raise InputError("line 3: no such category")

def end_after(workspace, show, folder, other):
    wait_for(Path(folder, other))
    time.sleep(0.3)
    Path(folder, "ended").touch()
    return "ended"

def note(workspace, show):
    workspace.warn_unshared()

def until_stopped(workspace, show, folder, name):
    try:
        Path(folder, name).touch()
        wait_for(Path(folder, "never"))
    except KeyboardInterrupt:
        Path(folder, f"{name} is saved").touch()
        raise
"""


class _Rows(Silent):
    """A board that keeps what it is shown, and the console of each of its rows."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, str]] = []
        self.warned: list[str] = []

    def console(self, row: int) -> Silent:  # noqa: ARG002
        return self

    def show(self, row: int, state: str, *, last: bool = False) -> None:  # noqa: ARG002
        self.shown.append((row, state))

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the functions that lanes call."""
    (tmp_path / "work_of_lanes.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    import work_of_lanes  # type: ignore[import-not-found]

    return work_of_lanes


@pytest.fixture
def lanes(tmp_path: Path) -> Iterator[Lanes]:
    """Two lanes in an empty home."""
    with Lanes(Workspace(Settings.load(tmp_path, environ={}, folder=tmp_path)), 2) as two:
        yield two


def test_two_tasks_go_on_at_once_and_their_results_are_in_order(
    lanes: Lanes, work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other; bars, notes and states are shown in its row; the processors are shared."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("vlmprobe.lanes.processors", lambda: 4)
    rows = _Rows()
    pairs = [("a", "b"), ("b", "a"), ("c", "a")]
    found = lanes.run([Task(work.meet, (tmp_path, *pair)) for pair in pairs], rows)

    assert [name for name, _, _ in found] == ["a", "b", "c"]
    assert found[0][1] != found[1][1]
    assert os.getpid() not in {process for _, process, _ in found}
    assert {threads for _, _, threads in found} == {"2"}
    assert sorted(rows.warned) == ["a met b", "b met a", "c met a"]
    for row in range(3):
        assert [state for place, state in rows.shown if place == row] == ["waiting for the other", "done"]
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_note_about_the_home_is_printed_once(work: Any, tmp_path: Path) -> None:
    """By the process that starts the lanes: each of them would print it for each of its scales."""
    environ, here, rows = {"VLMPROBE_DATABASE_URL": "postgresql://me@host/study"}, _Rows(), _Rows()
    workspace = Workspace(Settings.load(tmp_path, environ=environ, folder=tmp_path), here)
    with Lanes(workspace, 2) as two:
        two.run([Task(work.note, ())] * 3, rows)
    workspace.warn_unshared()
    assert rows.warned == []
    (line,) = here.warned
    assert "other machines cannot read the hidden states" in line


def test_after_a_failure_what_is_begun_is_done_and_nothing_else(
    lanes: Lanes, work: Any, tmp_path: Path
) -> None:
    """The error keeps its class and text."""
    rows = _Rows()
    tasks = [
        Task(work.fail, (tmp_path,)),
        Task(work.end_after, (tmp_path, "work_of_lanes.py")),
        Task(work.meet, (tmp_path, "never begun", "never begun")),
    ]
    with pytest.raises(InputError, match="line 3: no such category"):
        lanes.run(tasks, rows)
    assert (tmp_path / "ended").exists()
    assert not (tmp_path / "never begun").exists()
    assert sorted(rows.shown) == [(0, "failed"), (1, "done")]


def test_ctrl_c_lets_each_lane_save_what_it_has(
    lanes: Lanes, work: Any, tmp_path: Path, wait_until: Any
) -> None:
    """As for a single scale: what is finished is kept."""
    rows = _Rows()

    def interrupt() -> None:
        wait_until(lambda: all((tmp_path / name).exists() for name in "ab"))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        lanes.run([Task(work.until_stopped, (tmp_path, name)) for name in "abc"], rows)
    assert {path.name for path in tmp_path.glob("* is saved")} == {"a is saved", "b is saved"}
    assert sorted(rows.shown) == [(0, "stopped"), (1, "stopped")]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[int], str]:
    """Make a checkpoint of so many bytes, none of which is written."""

    def make(size: int) -> str:
        folder = tmp_path / str(size)
        folder.mkdir(exist_ok=True)
        with (folder / "model.safetensors").open("wb") as file:
            file.truncate(size)
        return str(folder)

    return make


def test_small_models_on_a_cpu_share_the_processors(
    checkpoint: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At most a lane for each processor and scale; large models, GPUs and hub ids have the machine for themselves."""
    monkeypatch.setattr("vlmprobe.lanes.processors", lambda: 3)
    monkeypatch.setattr("vlmprobe.lanes._GPU_DRIVERS", (tmp_path / "none",))
    small, large = checkpoint(1 << 20), checkpoint(1 << 30)
    assert n_lanes(ModelOptions(), [small] * 5) == 3
    assert n_lanes(ModelOptions(), [small] * 2) == 2
    assert n_lanes(ModelOptions(), [small, large]) == 1
    assert n_lanes(ModelOptions(), ["owner/name", small]) == 1
    assert n_lanes(ModelOptions(device="cuda"), [small] * 5) == 1
    assert n_lanes(ModelOptions(devices=("cpu", "cpu")), [small] * 5) == 1
    monkeypatch.setattr("vlmprobe.lanes._GPU_DRIVERS", (tmp_path,))
    assert n_lanes(ModelOptions(), [small] * 5) == 1
    assert n_lanes(ModelOptions(device="cpu"), [small] * 5) == 3
