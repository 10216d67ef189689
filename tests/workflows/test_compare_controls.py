"""``vlmprobe compare`` beside controls: how far a difference in coherence is above what the controls show as well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.analysis.catalog import DELTA_ABOVE_CONTROL, DELTA_COHERENCE, VD_EI_OF_CONTROL
from vlmprobe.settings import Settings
from vlmprobe.study.controls import beside_controls, controls_by_kind
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.compare import compare
from vlmprobe.workspace import Workspace

from ..postgres_server import of_home
from ..verdict_home import AXIS, PAIRS, World, add_datasets, add_run, add_world

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.analysis.difference import Difference
    from vlmprobe.reports.comparison import Comparison

KINDS = ["grey", "other-image:0", "random-weights:0"]
#: Names say more to the later scale, whose controls have it too; the picture says the same.
BEFORE, AFTER = World(scene=1.0, names=0.3), World(scene=1.0, names=1.5)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make two scales with three controls each, one with a grey control that has fewer pairs, and one without any."""
    folder = tmp_path_factory.mktemp("controls") / "home"
    workspace = opened(folder)
    workspace.create_database()
    add_datasets(workspace.database)
    add_world(workspace, "before", BEFORE, ("blind",))
    add_world(workspace, "after", AFTER, ("blind",))
    short = add_run(workspace, "short", AFTER)
    add_run(workspace, "short", AFTER, control="grey", serves=short, pairs=60)
    add_run(workspace, "bare", AFTER)
    return folder


def opened(home: Path) -> Workspace:
    """Open a home whose MLflow is nowhere."""
    environ = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", **of_home(home)}
    return Workspace(Settings.load(home, environ=environ, folder=home.parent))


def above(found: Comparison) -> list[Difference]:
    """Return the rows above controls of the one axis with pairs."""
    rows = found.compared[0].rows
    return [row for row in rows if row.entry is DELTA_ABOVE_CONTROL and row.target == str(AXIS)]


def test_the_value_is_the_difference_of_two_differences(home: Path) -> None:
    """Oracle: what ``vlmprobe control`` prints of each run beside its control, the later minus the earlier."""
    workspace = opened(home)
    found = above(compare(workspace, "before", "after", layer=1))
    assert [row.control for row in found] == KINDS
    (before, after) = (
        {
            row.control: row.geometry
            for row in beside_controls(
                workspace, Selection(("tiny",), (scale,)).complete_runs(workspace)[0], KINDS
            )
            if row.axis == str(AXIS)
        }
        for scale in ("before", "after")
    )
    for row in found:
        first, second = before[row.control], after[row.control]
        assert row.estimate.value == pytest.approx(second.difference.value - first.difference.value)
        assert (row.before, row.after) == pytest.approx((first.difference.value, second.difference.value))
        controls = (first.of_control.value, second.of_control.value)
        assert (row.control_before, row.control_after) == pytest.approx(controls)
        assert row.estimate.ci_low < row.estimate.value < row.estimate.ci_high
        assert (row.p_value, row.n) == (None, PAIRS)


def test_a_rise_that_the_control_shows_as_well_is_seen_to_be_one(home: Path) -> None:
    """Names say more to the later scale: coherence rises, resolved; above grey pictures it does not.

    Refutes: dropping the controls from the contrast.
    """
    found = compare(opened(home), "before", "after", layer=1)
    (rise,) = (
        row for row in found.compared[0].rows if row.entry is DELTA_COHERENCE and row.target == str(AXIS)
    )
    assert rise.is_resolved
    assert rise.estimate.ci_low > 0
    grey = above(found)[0]
    assert grey.control_after - grey.control_before > 0.1
    assert grey.estimate.ci_low < 0


@pytest.mark.full
def test_holm_counts_no_test_of_a_control(home: Path) -> None:
    """The rows beside have an interval alone, so what the runs show is resolved as it is without controls."""
    both = compare(opened(home), "before", "after", layer=1)
    assert both.n_tests == sum(row.p_value is not None for row in both.compared[0].rows if not row.control)


def test_only_the_pairs_that_all_four_have_count_and_only_beside_the_control(home: Path) -> None:
    """A control with fewer pairs shortens its own rows, and no other."""
    found = compare(opened(home), "before", "short", layer=1)
    (row,) = above(found)
    assert (row.control, row.n) == ("grey", 60)
    assert found.n_pairs == PAIRS


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        (("before", "after"), []),
        (
            ("before", "bare"),
            ["no controls of tiny @ bare: run 'vlmprobe control tiny --data own.tsv --scale bare'"],
        ),
        (
            ("before", "short"),
            [
                "no control other-image:0, random-weights:0 of tiny @ short: run 'vlmprobe control tiny --data own.tsv "
                "--kinds other-image:0,random-weights:0 --scale short'"
            ],
        ),
    ],
)
def test_what_was_not_run_has_its_command(home: Path, scales: tuple[str, str], said: list[str]) -> None:
    """A line for the scales without controls, or for the kinds that a scale lacks."""
    found = compare(opened(home), *scales, layer=1)
    assert [line.replace(f"{home}/", "") for line in found.lacking] == said
    assert set(found.lacking) <= set(found.words())


def test_the_command_prints_controls_in_every_form(inside: Any, home: Path) -> None:
    """A row for people and for programs, with what the control of each has."""
    words = ("compare", "before", "after", "--layer", 1, "--home", home)
    table = inside(*words).ok()
    (line,) = (line for line in table.out.splitlines() if f"{AXIS}, grey" in line)
    assert "above_control" in line
    assert "control: " in line
    assert "above_control: before and after are coherence minus the control's" in table.err
    rows = json.loads(inside(*words, "--json").ok().out)
    (row,) = (row for row in rows if row["control"] == "grey" and row["target"] == str(AXIS))
    assert row["metric"] == "delta.axis_coherence.balanced.above_control"
    assert row["value"] == pytest.approx(row["after"] - row["before"])
    assert None not in {row["control_before"], row["control_after"], row["ci_low"], row["ci_high"]}
    assert {row["control"] for row in rows if row["metric"] == "delta.accuracy"} == {None}


def test_vd_ei_of_the_controls_stands_beside_and_says_that_there_is_no_axis(home: Path) -> None:
    """A row for each kind that both have, after VD-EI, and the same that ``vlmprobe control`` has; no test is added."""
    workspace = opened(home)
    rows = compare(workspace, "before", "after", layer=1).compared[0].rows
    found = [row for row in rows if row.entry is VD_EI_OF_CONTROL]
    assert [(row.target, row.control) for row in found] == [("vertical/distance", kind) for kind in KINDS]
    run = Selection(("tiny",), ("before",)).complete_runs(workspace)[0]
    angles = [row.angle for row in beside_controls(workspace, run, KINDS) if row.angle and row.angle.is_vd_ei]
    for row, angle in zip(found, angles, strict=True):
        assert row.of_controls[0] == angle.of_control
        assert (row.control_before, row.p_value, row.estimate.value) == (None, None, None)
        assert angle.of_control.reason


def test_the_id_of_a_control_is_said_to_be_one(inside: Any, home: Path) -> None:
    """Of which run, and what to name instead; not that there is no such run."""
    workspace = opened(home)
    run = Selection(("tiny",), ("before",)).complete_runs(workspace)[0]
    grey = controls_by_kind(workspace, run)["grey"]
    said = inside("compare", "after", grey.run_id, "--home", home)
    assert said.code == 2
    assert f"run {grey.run_id} is a control (grey) of tiny @ before" in said.err
    assert "name tiny@before instead" in said.err
    assert "no complete run" not in said.err
