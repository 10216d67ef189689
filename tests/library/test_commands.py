"""``extract``, ``analyze`` and ``merge`` from Python do what the commands do."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import typer

import vlmprobe
from vlmprobe import Workspace, analyze, extract, merge
from vlmprobe.cli.main import app
from vlmprobe.study.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

#: Keeps a workspace open, after tables and runs were read, until it is killed.
HOLD = """
import sys, time
from vlmprobe import Workspace
workspace = Workspace.open(sys.argv[1])
tables = workspace.runs(), workspace.metrics()
print("held", flush=True)
time.sleep(120)
"""


@pytest.mark.full
def test_extract_finishes_while_another_process_holds_a_workspace(
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An open workspace holds no lock; the same call again reuses the run."""
    for name, value in mlflow_store.items():
        monkeypatch.setenv(name, value)
    workspace = Workspace.open(tmp_path, progress=False)
    workspace.create_database()
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        run = extract(workspace, "tiny", "2m", data=benchmark(2), batch_size=8)
        assert holder.poll() is None, "the holder let go before the extraction had finished"
    finally:
        holder.kill()
        holder.communicate()
    assert (run.name, run.status, run.n_pairs, run.n_failed) == ("tiny @ 2m", "complete", 12, 0)
    assert extract(str(tmp_path), "tiny", "2m", data=str(benchmark(2)), batch_size=8) == run


@pytest.mark.full
def test_a_study_from_python(
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Extract, analyze, merge; each returns what the next one reads."""
    for name, value in mlflow_store.items():
        monkeypatch.setenv(name, value)
    workspace = Workspace.open(tmp_path / "home", progress=False)
    run = extract(workspace, "tiny", "2m", data=benchmark(4), batch_size=8)
    assert analyze(workspace, "tiny") == [run]
    assert workspace.metrics(run, name="axis_coherence", subset="all").num_rows == 3 * (run.n_layers or 0)
    report = merge(workspace, "tiny", out=tmp_path / "report")
    assert report.runs == (run,)
    assert report.page.is_file()
    assert report.summary.is_file()
    assert report.figures
    assert repr(report).startswith(f"<Report of tiny @ 2m: {tmp_path / 'report' / 'report.html'} with ")


@pytest.mark.parametrize("function", [extract, analyze, merge])
def test_every_option_of_the_command_is_an_argument(function: Callable[..., Any]) -> None:
    """Of the same name; ``metric`` only chooses what ``analyze`` prints."""
    command = typer.main.get_command(app).commands[function.__name__]  # type: ignore[attr-defined]
    common = {"home", "quiet", "debug", "experiment", "json", "csv"}
    singular = {"templates": "template"}
    options = {
        each.opts[0].removeprefix("--").replace("-", "_")
        for each in command.params
        if each.opts[0].startswith("--")
    }
    arguments = set(inspect.signature(function).parameters) - {"workspace", "family"}
    mine = {"template"} if function is analyze else set()
    assert arguments - mine == {singular.get(name, name) for name in options - common - {"metric"}}


def test_arguments_reach_the_extraction(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    """Also paths and numbers in other types than the command's."""
    asked: list[Any] = []
    run = workspace.run("tiny/2m")

    def extracted(_: Workspace, request: Any) -> list[Any]:
        asked.append(request)
        return [SimpleNamespace(run=run, interrupted=False)]

    monkeypatch.setattr("vlmprobe.workflows.extract.extract", extracted)
    given = {
        "layers": [5, 0, 5],
        "devices": [0, 1],
        "compile": False,
        "template": "yes-no",
        "boxes": Path("b.json"),
        "control": "other-image:3",
    }
    assert extract(workspace, "qwen25", "mine", data="d.tsv", checkpoint=Path("/m"), **given) == run
    (request,) = asked
    options = request.options
    assert (request.family, request.scale, request.checkpoint) == ("qwen25", "mine", "/m")
    assert str(request.control) == "other-image:3"
    assert (options.data, options.templates, options.boxes) == (Path("d.tsv"), ("yes-no",), "b.json")
    assert (options.model.layers, options.model.devices, options.model.compile) == ((0, 5), ("0", "1"), False)


def test_a_stopped_extraction_stops_the_script(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    """The lines below it are not for half a run."""
    stopped = [SimpleNamespace(run=workspace.run("tiny/2m"), interrupted=True)]
    monkeypatch.setattr("vlmprobe.workflows.extract.extract", lambda *_: stopped)
    with pytest.raises(KeyboardInterrupt):
        extract(workspace, "tiny", "2m", data="d.tsv")


def test_filters_reach_analysis_and_comparison(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    """One name or several, a file or the name of a dataset."""
    asked: list[Any] = []
    run = workspace.run("tiny/2m")

    def analyzed(_: Workspace, selection: Selection, **more: Any) -> list[Any]:
        asked.append((selection, more))
        return [SimpleNamespace(run=run)]

    def merged(_: Workspace, selection: Selection, **more: Any) -> Any:
        asked.append((selection, more))
        return SimpleNamespace(runs=(run,), report=Path("r"), summary=Path("s"), figures=())

    monkeypatch.setattr("vlmprobe.workflows.analyze.analyze", analyzed)
    monkeypatch.setattr("vlmprobe.workflows.merge.merge", merged)
    assert analyze(workspace, "tiny", ["vanilla", "2m"], template="yes-no", strata="place") == [run]
    assert merge(workspace, ["tiny"], "2m", data="benchmark", max_per_category=5, out="here").runs == (run,)
    assert asked == [
        (
            Selection(("tiny",), ("vanilla", "2m"), None),
            {"templates": ("yes-no",), "strata": "place", "force": False},
        ),
        (Selection(("tiny",), ("2m",), Path("benchmark"), 5), {"template": "published", "out": Path("here")}),
    ]


def test_only_five_names_are_public() -> None:
    """What is public is versioned; docs/python.md lists it."""
    assert set(vlmprobe.__all__) == {"Workspace", "__version__", "analyze", "extract", "merge"}
