"""``run`` analyzes a scale in another process while it asks the next one: the same numbers, and every end is clean."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import InputError, ModelError
from vlmprobe.processes import processors
from vlmprobe.settings import Settings
from vlmprobe.study.selection import Selection
from vlmprobe.timeline import Phase
from vlmprobe.workflows.analyze import analyze_run, to_analyze
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest
from vlmprobe.workflows.scales import run_scales
from vlmprobe.workspace import Silent, Workspace

from ..postgres_server import of_home

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Asks a scale; whether it was stopped.
    Asking = Callable[[Workspace], bool]

#: Analyses in another process that take as long as a test wants: until a file is there.
ANALYSES = """
import os, time
from pathlib import Path
from vlmprobe.errors import InputError

def begin(tell, settings):
    def work(item):
        row, runs = item.row, item.runs
        tell(("begin", row))
        ahead = f", ahead for {item.ahead}" if item.ahead else ""
        tell(("warn", f"process {os.getpid()} analyzes {runs}{ahead}"))
        while runs[0][0] == "wait" and not (Path(settings.home) / "asked.txt").exists():
            time.sleep(0.01)
        if runs[0][0] == "bad":
            raise InputError("tiny @ vanilla: a hidden state is not finite")
        tell(("analyzed", row))
        return "done", row
    return work
"""


class _Notes(Silent):
    """A console that keeps its lines, which are those of a log."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.said: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)

    @property
    def pid(self) -> int:
        """The process that analyzes."""
        return int(self.warned[0].split()[1])

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def scales(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Run scales of which each is asked by a function of the test, and analyzed as it says: wait, good or bad."""
    (tmp_path / "analyses_elsewhere.py").write_text(ANALYSES)
    monkeypatch.syspath_prepend(tmp_path)
    from analyses_elsewhere import begin  # type: ignore[import-not-found]

    runs: dict[str, str] = {}
    monkeypatch.setattr("vlmprobe.workflows.scales.processors", lambda: 2)
    monkeypatch.setattr("vlmprobe.workflows.scales.begin_analyzing", begin)
    monkeypatch.setattr(
        "vlmprobe.workflows.scales.to_analyze", lambda _, selection, __: [(runs[selection.scales[0]], 1)]
    )

    def run(
        asked: dict[str, Asking], analyzed: dict[str, str], console: _Notes, *, n_inferred: int = 1
    ) -> None:
        def extract(workspace: Workspace, request: ExtractRequest) -> list[Any]:
            return [SimpleNamespace(interrupted=asked[request.scale](workspace), n_inferred=n_inferred)]

        monkeypatch.setattr("vlmprobe.workflows.scales.extract", extract)
        runs.update(analyzed)
        options = ExtractOptions(tmp_path / "none.tsv")
        workspace = Workspace(Settings.load(tmp_path, environ={}, folder=tmp_path), console)
        run_scales(workspace, [ExtractRequest("tiny", scale, options) for scale in asked])

    return run


def _answered(_: Workspace) -> bool:
    """Ask a scale; nothing stops it."""
    return False


def _is_there(pid: int) -> bool:
    """Return whether a process has not ended; one that nobody has waited for yet has (Z)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_scale_is_analyzed_while_the_next_one_is_asked(
    scales: Callable[..., Any], tmp_path: Path, wait_until: Any
) -> None:
    """The first analysis ends only after the second scale was asked; its warnings are printed here."""
    console = _Notes()

    def ask(_: Workspace) -> bool:
        wait_until(lambda: len(console.warned) == 1)
        (tmp_path / "asked.txt").touch()
        return False

    scales({"vanilla": _answered, "2m": ask}, {"vanilla": "wait", "2m": "good"}, console)

    # What the report shows of the last scale is computed with the report, which follows at once.
    assert [line.split(" analyzes ")[1] for line in console.warned] == [
        "[('wait', 1)], ahead for published",
        "[('good', 1)]",
    ]
    assert console.pid != os.getpid()
    assert not _is_there(console.pid)
    assert console.said == ["tiny @ vanilla: done", "tiny @ 2m: done"]


def test_an_error_of_an_analysis_is_raised_before_the_scale_after_the_next(
    scales: Callable[..., Any],
) -> None:
    """With its class and text; what is being asked meanwhile is asked to its end."""
    console, asked = _Notes(), []

    def ask(scale: str) -> Asking:
        def extract(_: Workspace) -> bool:
            asked.append(scale)
            # The error of the first is here by the end of the second.
            while scale == "2m" and (not console.warned or _is_there(console.pid)):
                time.sleep(0.01)
            return False

        return extract

    with pytest.raises(InputError, match=r"^tiny @ vanilla: a hidden state is not finite$"):
        scales(
            {scale: ask(scale) for scale in ("vanilla", "2m", "80k")},
            {"vanilla": "bad", "2m": "good", "80k": "good"},
            console,
        )
    assert asked == ["vanilla", "2m"]
    assert console.said == ["tiny @ vanilla: failed", "tiny @ 2m: not analyzed"]


def test_an_error_of_the_last_analysis_is_raised_at_the_end(scales: Callable[..., Any]) -> None:
    """Nothing else would tell of it."""
    with pytest.raises(InputError, match="a hidden state is not finite"):
        scales({"vanilla": _answered, "2m": _answered}, {"vanilla": "good", "2m": "bad"}, _Notes())


def test_a_scale_that_cannot_be_asked_leaves_the_one_before_analyzed(
    scales: Callable[..., Any], tmp_path: Path
) -> None:
    """As if one had gone on after the other."""
    console = _Notes()

    def ask(_: Workspace) -> bool:
        (tmp_path / "asked.txt").touch()
        raise ModelError("no such folder")

    with pytest.raises(ModelError, match="no such folder"):
        scales({"vanilla": _answered, "2m": ask}, {"vanilla": "wait"}, console)
    assert len(console.warned) == 1


def test_a_stop_ends_the_analysis(scales: Callable[..., Any], wait_until: Any) -> None:
    """It would have gone on forever; it is done again when the command is."""
    console = _Notes()

    def stopped(_: Workspace) -> bool:
        wait_until(lambda: len(console.warned) == 1)
        return True

    with pytest.raises(KeyboardInterrupt):
        scales({"vanilla": _answered, "2m": stopped}, {"vanilla": "wait"}, console)
    assert not _is_there(console.pid)
    assert console.said == ["tiny @ 2m: stopped", "tiny @ vanilla: not analyzed"]


def test_one_scale_starts_no_process(scales: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to do beside it; nor is there with one processor."""
    here: list[str] = []
    monkeypatch.setattr("vlmprobe.workflows.scales.analyze_run", lambda _, run_id, __: here.append(run_id))
    monkeypatch.setattr("vlmprobe.workflows.scales.OtherProcess", None)
    scales({"vanilla": _answered}, {"vanilla": "one"}, _Notes())
    monkeypatch.setattr("vlmprobe.workflows.scales.processors", lambda: 1)
    scales({"vanilla": _answered, "2m": _answered}, {"vanilla": "one", "2m": "two"}, _Notes())
    assert here == ["one", "one", "two"]


def test_what_was_complete_is_looked_at_here(
    scales: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that is run again does not wait until another process has loaded what an analysis needs."""
    here: list[str] = []
    monkeypatch.setattr("vlmprobe.workflows.scales.analyze_run", lambda _, run_id, __: here.append(run_id))
    console = _Notes()
    scales({"vanilla": _answered, "2m": _answered}, {"vanilla": "one", "2m": "two"}, console, n_inferred=0)
    assert (here, console.warned) == (["one", "two"], [])


def test_the_next_weights_are_read_once_pairs_are_asked(
    scales: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, wait_until: Any
) -> None:
    """Not while this scale's own are loaded, nor after the last; an error waits for that scale's turn."""
    read: list[str] = []

    def fingerprint(checkpoint: str, revision: str | None, **_: object) -> str:
        read.append(f"{Path(checkpoint).name} {revision}")
        raise ModelError("damaged")

    monkeypatch.setattr("vlmprobe.extraction.ahead.fingerprint", fingerprint)
    console = _Notes()

    def ask(expected: list[str]) -> Asking:
        def extract(workspace: Workspace) -> bool:
            with workspace.console.track("tiny @ some", 1) as advance:
                advance(1)
                wait_until(lambda: read == expected)
            return False

        return extract

    scales({"vanilla": ask(["2m None"]), "2m": ask(["2m None"])}, {"vanilla": "good", "2m": "good"}, console)


def test_a_run_is_analyzed_beside_those_that_were_complete_then(study: Any, monkeypatch: Any) -> None:
    """The number of tests is fixed when the analysis is asked for, so that a later run does not change its numbers."""
    workspace = Workspace(Settings.load(study.home, environ=of_home(study.home), folder=study.home))
    selection = Selection(("tiny",), ("2m",), study.data)
    ((run_id, n_tests),) = to_analyze(workspace, selection)
    monkeypatch.setattr("vlmprobe.workflows.analyze._tests_beside", lambda *_: 2 * n_tests)
    # These are the numbers that are stored.
    monkeypatch.setattr(workspace, "deliver", lambda _: None)
    assert not analyze_run(workspace, run_id, n_tests).is_computed


@pytest.mark.full
@pytest.mark.parametrize("lanes", [1, 2], ids=["analyzed beside", "side by side"])
def test_the_metrics_are_those_of_one_after_the_other(
    lanes: int,
    study: Any,
    mlflow_store: dict[str, str],
    monkeypatch: Any,
    tmp_path: Path,
    inside: Any,
    rows: Any,
) -> None:
    """Every row, bit for bit; and what took how long stands beside the report."""
    monkeypatch.setattr("vlmprobe.workflows.scales.processors", lambda: 2)
    monkeypatch.setattr("vlmprobe.lanes.processors", lambda: lanes)
    home, out = tmp_path / "home", tmp_path / "report"
    arguments = _two_scales(study.data)
    ran = inside(
        *arguments, "--home", home, "--out", out, "--json", VLMPROBE_SHARD_PAIRS="16", **mlflow_store
    )

    metrics = (
        "SELECT scale, metrics.* EXCLUDE (run_id, computed_at, synced_at) FROM metrics JOIN runs USING (run_id) "
        "ORDER BY ALL"
    )
    # Beside ids of runs and hashes of their files, which differ.
    value = """regexp_replace(CAST(value AS VARCHAR), '"([0-9a-f]{64}|[0-9a-f-]{36})"', '', 'g')"""
    results = f"SELECT scale, name, subset, {value} FROM results_json JOIN runs USING (run_id) ORDER BY ALL"
    assert ran.ok().out == study.ran.out
    for query in (metrics, results):
        assert repr(rows(home, query)) == repr(rows(study.home, query))
    assert rows(home, "SELECT count(*) FROM metrics WHERE synced_at IS NULL") == [(0,)]
    assert "tiny @ vanilla: done\n" in ran.err
    assert "\ntimes       prepared " in ran.err
    phases = _phases(out)
    later = phases["tiny @ 2m", "asked"]
    assert phases["tiny @ vanilla", "analyzed" if lanes == 1 else "asked"].start_s < later.end_s
    assert lanes == 1 or later.start_s < phases["tiny @ vanilla", "asked"].end_s


def _two_scales(data: Path) -> tuple[object, ...]:
    return ("run", "tiny", "--data", data, "--scale", "vanilla", "--scale", "2m", "--batch-size", 8)


def _phases(out: Path) -> dict[tuple[str, str], Phase]:
    found = [Phase(**each) for each in json.loads((out / "timeline.json").read_text())["timeline"]]
    return {(each.scale, each.phase): each for each in found}


@pytest.mark.full
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_all_processes(
    study: Any,
    shell: Any,
    rows: Any,
    committed: Any,
    wait_until: Any,
    mlflow_store: dict[str, str],
    tmp_path: Path,
    times: int,
) -> None:
    """The command ends as it always did, and leaves no process; a second Ctrl-C does not wait for the first."""
    arguments = _two_scales(study.data)
    process = shell.start_behind(*arguments, "--home", tmp_path, VLMPROBE_SHARD_PAIRS="16", **mlflow_store)
    wait_until(lambda: committed(tmp_path) >= 1, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    stopped = shell.finish(process)

    assert stopped.code == 130
    assert stopped.errors == ["error: stopped; finished work is kept; rerun the same command to resume"]
    assert "Traceback" not in stopped.err
    assert children or processors() == 1
    wait_until(lambda: not any(_is_there(int(child)) for child in children))
