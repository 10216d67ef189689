"""What a workspace gives: runs by their names, and tables that pandas and polars take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe import Workspace
from vlmprobe.errors import DatabaseError, UsageError
from vlmprobe.library.run import Run, split_name

if TYPE_CHECKING:
    from pathlib import Path


def test_opening_a_home_reads_nothing(tmp_path: Path) -> None:
    """The first question does, and says what is missing; the home may be given as text."""
    workspace = Workspace.open(str(tmp_path / "home"))
    assert repr(workspace) == f"Workspace({str(tmp_path / 'home')!r})"
    with pytest.raises(DatabaseError, match="no database"):
        workspace.runs()
    assert not (tmp_path / "home").exists()


def test_runs_are_a_table(workspace: Workspace) -> None:
    """One row each, oldest first, with the columns of a Run; filters narrow it."""
    runs = workspace.runs().to_pandas()
    assert list(runs.columns) == list(Run.__dataclass_fields__)
    assert list(runs.scale) == ["vanilla", "2m"]
    assert list(runs.n_pairs) == [96, 96]
    assert workspace.runs(scale="2m", status="complete").num_rows == 1
    assert workspace.runs(family="null").num_rows == 0


@pytest.mark.parametrize("name", ["tiny/2m", "tiny @ 2m", "tiny @ 2m (published)"])
def test_a_run_is_found_by_its_name(name: str, workspace: Workspace) -> None:
    """And by its id, by family and scale, or by itself."""
    run = workspace.run(name)
    assert (run.family, run.scale, run.status) == ("tiny", "2m", "complete")
    assert workspace.run("tiny", "2m") == workspace.run(run.run_id) == workspace.run(run) == run


def test_a_name_may_hold_an_at_sign() -> None:
    """A slash or a spaced @ separates family and scale; parentheses hold the template."""
    assert split_name("my@family/v@2 (yes-no)") == ("my@family", "v@2", "yes-no")
    assert split_name("auto @ v@2") == ("auto", "v@2", None)
    assert split_name("tiny") == ("tiny", None, None)


def test_a_run_says_what_it_is(workspace: Workspace) -> None:
    """In one line, with the id to pass on."""
    run = workspace.run("tiny/2m")
    shown = (
        f"<Run tiny @ 2m on {run.dataset}: complete, 96 pairs, {run.n_layers} layers of {run.dim}, run_id "
    )
    assert repr(run) == f"{shown}{run.run_id}>"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tiny", "several scales match: tiny @ vanilla, tiny @ 2m; choose one"),
        ("tiny/3m", "no complete run matches; existing runs: tiny @ 2m on .*, tiny @ vanilla on "),
        ("null", "no complete run matches; existing runs: "),
        ("tiny/2m (yes-no)", r"no run with template yes-no matches; available: published \(tiny @ 2m\)"),
    ],
)
def test_an_unknown_run_lists_those_there_are(name: str, says: str, workspace: Workspace) -> None:
    """So does a name that several runs have."""
    with pytest.raises(UsageError, match=says):
        workspace.pairs(name)


def test_pairs_hold_both_questions_and_answers(workspace: Workspace) -> None:
    """A row a pair; the questions differ in the order of the objects, the expected answers are opposites."""
    pairs = workspace.pairs("tiny/2m").to_pandas()
    assert len(pairs) == 96
    first = pairs.iloc[0]
    assert first.subject in first.orig_question
    assert first.orig_expected != first.swap_expected
    assert (pairs.both_correct == (pairs.orig_correct & pairs.swap_correct)).all()
    assert pairs.both_correct.mean() > workspace.pairs("tiny/vanilla").to_pandas().both_correct.mean()


def test_predictions_are_the_same_answers_a_row_each(workspace: Workspace) -> None:
    """Two rows a pair, in the order of the pairs."""
    predictions = workspace.predictions("tiny/2m").to_pandas()
    pairs = workspace.pairs("tiny/2m").to_pandas()
    for side in ("orig", "swap"):
        own = predictions[predictions.side == side].reset_index(drop=True)
        assert list(own.pair_id) == list(pairs.pair_id)
        assert list(own.text) == list(pairs[f"{side}_text"])
        assert list(own.question) == list(pairs[f"{side}_question"])


def test_metrics_of_two_scales_are_one_table(workspace: Workspace, rows: Any) -> None:
    """The numbers that the database holds; without a run those of all."""
    coherence = workspace.metrics("tiny/vanilla", "tiny/2m", name="axis_coherence", subset="all")
    assert set(coherence["scale"].to_pylist()) == {"vanilla", "2m"}
    stored = rows(
        workspace.settings.home,
        "SELECT value FROM metrics WHERE name = 'axis_coherence' AND subset = 'all'",
    )
    assert sorted(coherence["value"].to_pylist()) == sorted(value for (value,) in stored)
    of_all = workspace.metrics(name="axis_coherence", subset="all")
    assert sorted(of_all["value"].to_pylist()) == sorted(coherence["value"].to_pylist())


@pytest.mark.parametrize(
    ("filters", "says"),
    [
        ({"name": "axis_coherense"}, "unknown metric 'axis_coherense'; known: accuracy.orig, "),
        ({"subset": "right"}, "unknown subset 'right'; known: all, both_correct"),
    ],
)
def test_a_mistyped_filter_is_an_error(filters: dict[str, str], says: str, workspace: Workspace) -> None:
    """Not a table without rows."""
    with pytest.raises(UsageError, match=says):
        workspace.metrics(**filters)


def test_a_run_without_metrics_names_the_command(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody takes it for a run whose metrics are empty."""
    monkeypatch.setattr("vlmprobe.store.metrics.analyzed_runs", lambda _: set())
    with pytest.raises(UsageError, match="tiny @ 2m: no metrics yet; run 'vlmprobe analyze tiny' first"):
        workspace.metrics("tiny/2m")


@pytest.mark.parametrize("run", [5, None, 2.5, ["tiny/2m"]])
def test_what_names_no_run_says_what_does(run: Any, tmp_path: Path) -> None:
    """Whatever was passed by mistake."""
    with pytest.raises(UsageError, match=r"names no run; pass what run\(\) returns, a run's id, or a name"):
        Workspace.open(tmp_path).run(run)


@pytest.mark.parametrize("layer", ["5", 5.0, None, (1, 2)])
def test_what_is_no_layer_says_so(layer: Any, tmp_path: Path) -> None:
    """Before a run is looked for."""
    with pytest.raises(UsageError, match="is no layer; pass a whole number, counted from 0"):
        Workspace.open(tmp_path).states("tiny/2m", layer)


def test_verdicts_say_what_each_axis_is_of_and_what_is_missing(workspace: Workspace) -> None:
    """An axis that is not there needs no control; one that is has the command that runs what its verdict needs."""
    found = {(each.scale, each.axis): each for each in workspace.verdicts("tiny")}
    assert len(found) == 6
    nothing = found["vanilla", "horizontal"]
    assert (nothing.verdict, nothing.missing, nothing.command) == ("no axis", "", "")
    assert [row.rule for row in nothing.conditions] == [1]
    there = found["2m", "horizontal"]
    assert there.verdict == "no verdict"
    assert there.command.startswith("vlmprobe control tiny --data ")
    assert there.command.endswith(" --scale 2m")
    assert [row.holds for row in there.conditions] == [True, True]
    assert repr(there).startswith("<Verdict on horizontal of tiny @ 2m, layer ")
    assert workspace.verdicts("tiny", "2m") == [each for each in found.values() if each.scale == "2m"]
    with pytest.raises(UsageError, match="nowhere"):
        workspace.verdicts("tiny", "nowhere")
