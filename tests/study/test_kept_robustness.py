"""The tables of a report's runs are computed once, beside the asking if there is time, and never shown when stale."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.analysis.controls import OutputLayer
from vlmprobe.pairs import SPACE
from vlmprobe.settings import Settings
from vlmprobe.store.output_layers import write_output_layer
from vlmprobe.study import kept_robustness
from vlmprobe.study.at_layer import output_layer_of
from vlmprobe.study.kept_robustness import all_robustness
from vlmprobe.study.robust_runs import open_runs, others_of, rows_of
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.analyze import ToAnalyze, analyze, begin_analyzing
from vlmprobe.workspace import Workspace

from ..left_behind import change_rows
from ..postgres_server import copied_home, of_home
from ..verdict_home import DIM, World, add_datasets, add_run, add_world

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.reports.robustness import RobustnessRow

TEMPLATES = ("published",)
WORLD = World(scene=1.0, word=0.6)


def opened(home: Path) -> Workspace:
    """Open a home whose MLflow is nowhere."""
    environ = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", **of_home(home)}
    return Workspace(Settings.load(home, environ=environ, folder=home.parent))


@pytest.fixture(autouse=True)
def _undelivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "deliver", lambda *_, **__: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a home with two analyzed scales, one of which was also asked under the yes/no templates."""
    home = tmp_path_factory.mktemp("kept") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Workspace, "deliver", lambda *_, **__: None)
        workspace = opened(home)
        workspace.create_database()
        add_datasets(workspace.database)
        add_world(workspace, "first", WORLD, ("answers",))
        add_world(workspace, "second", WORLD, ())
        analyze(workspace, Selection(("tiny",)), templates=TEMPLATES)
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """Copy the home."""
    return copied_home(made, tmp_path / "home")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the runs whose tables were computed so far."""
    found: list[str] = []
    tables_of = kept_robustness.tables_of

    def counted(runs: Any) -> Any:
        found.append(runs.read.run.scale)
        return tables_of(runs)

    monkeypatch.setattr(kept_robustness, "tables_of", counted)
    return found


def read(home: Path) -> list[RobustnessRow]:
    """Read the tables as a report does."""
    workspace = opened(home)
    runs = Selection(("tiny",)).complete_runs(workspace, TEMPLATES)
    with all_robustness(workspace, runs) as wait:
        return wait()


def test_the_second_report_shows_the_same_bits_without_computing(home: Path, computed: list[str]) -> None:
    """They are those of ``vlmprobe robustness``, which computes them anew."""
    first = read(home)
    assert computed == ["first", "second"]
    assert read(home) == first
    assert computed == ["first", "second"]
    workspace = opened(home)
    everything = Selection(("tiny",)).complete_runs(workspace)
    chosen = [run for run in everything if run.template == "published"]
    anew = [row for run in chosen for row in rows_of(open_runs(workspace, run, others_of(run, everything)))]
    assert first == anew
    assert {row.table for row in first} == {"products", "answers", "transfer"}


def test_the_process_that_analyzes_computes_them_ahead(
    home: Path, computed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the runs that the report will show, once their analysis has been told of."""
    workspace, told = opened(home), []
    runs = {run.run_id: run for run in Selection(("tiny",), ("first",)).complete_runs(workspace)}
    assert len(runs) == 3

    def analyzed(_: Workspace, run_id: str, __: int) -> Any:
        return SimpleNamespace(run=runs[run_id])

    monkeypatch.setattr("vlmprobe.workflows.analyze.analyze_run", analyzed)
    monkeypatch.setattr("vlmprobe.store.tracking.Tracker.preload", lambda _: None)
    work = begin_analyzing(told.append, workspace.settings)
    ids = [(run_id, 3) for run_id in runs]
    assert work(ToAnalyze(7, ids)) == ("done", 7)
    assert computed == []
    assert work(ToAnalyze(8, ids, ahead="published")) == ("done", 8)
    assert computed == ["first"]
    assert told == [("begin", 7), ("analyzed", 7), ("begin", 8), ("analyzed", 8)]
    read(home)
    assert computed == ["first", "second"]


def test_what_fails_ahead_is_said_by_the_report(
    home: Path, computed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The process that analyzes goes on."""
    for shard in (home / "spool").rglob("*.safetensors"):
        shard.unlink()
    workspace = opened(home)
    (run, _) = Selection(("tiny",)).complete_runs(workspace, TEMPLATES)
    kept_robustness.keep_robustness(workspace, run)
    warned: list[str] = []
    workspace.console.warn = warned.append  # type: ignore[method-assign]
    with all_robustness(workspace, [run]) as wait:
        assert wait() == []
    assert computed == []
    assert len(warned) == 1
    assert warned[0].startswith("tiny @ first: no tables of its robustness: shard 1 of run")
    assert capsys.readouterr().out == ""


def other_code(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Change a line of the code, or a version."""
    patch.setattr(kept_robustness, "computed_by", lambda: {"source": "another"})


def another_analysis(home: Path, _: pytest.MonkeyPatch) -> None:
    """Analyze with another layer recommended than before."""
    edit(home, "UPDATE results_json SET value = '{\"layer\": 1}' WHERE name = 'recommended_layer'")


def other_tests(home: Path, _: pytest.MonkeyPatch) -> None:
    """Analyze it again, beside more scales."""
    edit(home, "UPDATE results_json SET value = '{}' WHERE name = 'inputs'")


def another_answer(home: Path, _: pytest.MonkeyPatch) -> None:
    """Turn an answer of each run."""
    edit(home, "UPDATE predictions SET correct = NOT correct WHERE pair_id = '1' AND side = 'orig'")


def boxes(home: Path, _: pytest.MonkeyPatch) -> None:
    """Add perspectives, as boxes do."""
    edit(home, "UPDATE swap_pairs SET perspective = 'counter' WHERE pair_id = '1'")


def a_new_name(home: Path, _: pytest.MonkeyPatch) -> None:
    """Rename the scales."""
    edit(home, "UPDATE runs SET scale = scale || ' again'")


def a_template(home: Path, _: pytest.MonkeyPatch) -> None:
    """Ask both scales under one more template, or anew."""
    for scale in ("first", "second"):
        add_run(opened(home), scale, WORLD, template="yes-no", run_id=f"newer {scale}")


def an_output_layer(home: Path, _: pytest.MonkeyPatch) -> None:
    """Store the output layer of the checkpoint."""
    workspace = opened(home)
    for run in Selection(("tiny",)).complete_runs(workspace, TEMPLATES):
        path = output_layer_of(workspace, run)
        assert path is not None
        write_output_layer(path, _layer())


def _layer() -> OutputLayer:
    rng = np.random.default_rng(0)
    words = [*map(str, SPACE.categories), "yes", "no"]
    n = 4 * len(words) + 40
    return OutputLayer(
        spellings={word: tuple(range(4 * place, 4 * place + 4)) for place, word in enumerate(words)},
        tokens=tuple(range(n)),
        controls=tuple(range(4 * len(words), n)),
        rows=rng.normal(size=(n, DIM)),
        gain=np.ones(DIM),
        covariance=np.eye(DIM),
        n_tokens=n,
        tied=False,
        seed=0,
    )


def edit(home: Path, sql: str) -> None:
    """Change rows without vlmprobe's code."""
    change_rows(home, sql)


CHANGES = (
    other_code,
    another_analysis,
    other_tests,
    another_answer,
    boxes,
    a_new_name,
    a_template,
    an_output_layer,
)


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_stale_is_shown(
    home: Path, computed: list[str], change: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever changes, the tables are computed again, and kept once more."""
    read(home)
    computed.clear()
    change(home, monkeypatch)
    again = read(home)
    assert len(computed) == 2
    assert read(home) == again
    assert len(computed) == 2
