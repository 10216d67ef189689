"""``vlmprobe reproduce``: what two studies may say of each other, on a study whose numbers are known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.analysis.catalog import ACCURACIES, AXIS_COHERENCE, VD_EI_EQ3
from vlmprobe.analysis.inference import binomial_se
from vlmprobe.errors import UsageError
from vlmprobe.interop import PublishedValue, read_published
from vlmprobe.settings import Settings
from vlmprobe.store.perspective import PerspectiveAnswer
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.reproduce import reproduce
from vlmprobe.workspace import Workspace

from ..postgres_server import environ_of

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCHMARK = "Drawn scenes"
ORIG = ACCURACIES["orig"].name


def published(
    value: float, n: int | None, *, metric: str = ORIG, target: str = "distance", split: str = "counter"
) -> PublishedValue:
    """Return a value as a paper might have printed it of the study's longest trained scale."""
    return PublishedValue("tiny", "2m", "Tiny +2M", BENCHMARK, metric, target, split, value, n)


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the study have 200 counter pairs, an image each, of which 60 % are right; it was made without boxes."""
    made = [PerspectiveAnswer("counter", str(number), number % 5 < 3, False) for number in range(200)]
    monkeypatch.setattr("vlmprobe.workflows.reproduce.perspective_answers", lambda *_: made)


@pytest.fixture
def compare(study: Any) -> Any:
    """Return what compares given published values with the study."""
    workspace = Workspace(Settings.load(study.home, environ=environ_of(study.home)))

    def run(values: Sequence[PublishedValue], **options: Any) -> Any:
        return reproduce(workspace, Selection(("tiny",)), published=values, benchmark=BENCHMARK, **options)

    return run


def test_a_number_is_compared_with_its_own_value(compare):
    """Differences are ours less theirs, with both errors; our own value, as of endless questions, is equivalent."""
    (cell,) = compare([published(0.5, 100)]).cells
    assert (cell.ours, cell.n_ours) == (0.6, 200)
    assert cell.difference == pytest.approx(0.1)
    expected = binomial_se(0.5, 100) ** 2 + 121 / 202 * 81 / 202 / 202
    assert cell.se == pytest.approx(expected**0.5, rel=5e-3)
    (same,) = compare([published(0.6, 10**9)], margins={"accuracy": 0.1}).cells
    assert (same.difference, same.verdict) == (0.0, "equivalent")
    (few,) = compare([published(0.6, 20)], margins={"accuracy": 0.1}).cells
    assert few.verdict == "not decided"


def test_another_models_values_are_never_equivalent(compare):
    """Refutes: each published row of another model that is off by the margin or more, put in the place of ours."""
    rows = [
        published(value.value, value.n)
        for value in read_published()
        if value.metric == ORIG and abs(value.value - 0.6) >= 0.03
    ]
    verdicts = {cell.verdict for cell in compare(rows).cells}
    assert len(rows) > 50
    assert verdicts <= {"different", "not decided"}
    assert "different" in verdicts


def test_without_their_n_nothing_is_tested(compare):
    """The difference stands; no error, no verdict, and the reason."""
    for metric, target in (
        (ORIG, "distance"),
        (AXIS_COHERENCE.name, "distance"),
        (VD_EI_EQ3.name, "vertical/distance"),
    ):
        split = "counter" if metric == ORIG else "all"
        (cell,) = compare([published(0.4, None, metric=metric, target=target, split=split)]).cells
        assert cell.difference == pytest.approx(cell.ours - 0.4)
        assert (cell.se, cell.p_equivalent, cell.verdict) == (None, None, None)
        assert cell.reason == "the paper does not say n"


def test_geometry_is_read_at_one_layer_and_shortened_alike(compare):
    """Ours is recommended where the published layer is of a deeper model; more pairs keep more of a cosine."""
    small, large = compare(
        [
            published(0.1, n, metric=VD_EI_EQ3.name, target="vertical/distance", split="all")
            for n in (16, 10**9)
        ]
    ).cells
    assert small.layer_is == "recommended"
    assert small.n_ours == 16
    assert small.kept_theirs == pytest.approx(small.kept_ours)
    assert small.kept_ours < large.kept_theirs <= 1
    (coherence,) = compare([published(0.1, 16, metric=AXIS_COHERENCE.name, split="all")]).cells
    assert coherence.verdict in {"different", "not decided"}
    # Our own error at as many pairs: the two together have the square root of 2.
    (many,) = compare([published(0.1, 10**9, metric=AXIS_COHERENCE.name, split="all")]).cells
    assert coherence.se == pytest.approx(2**0.5 * many.se, rel=1e-6)


def test_a_run_without_a_resolved_axis_has_no_geometry_to_compare(compare, monkeypatch):
    """The published shortlist names a layer of it all the same; it is not read."""

    def read(_: Any, run_id: str, name: str, subset: str) -> Any:
        return {"layer": None} if name == "recommended_layer" else {"recommended": 3}

    monkeypatch.setattr("vlmprobe.workflows.reproduce.read_results_json", read)
    (cell,) = compare([published(0.4, None, metric=AXIS_COHERENCE.name, split="all")]).cells
    assert (cell.ours, cell.layer) == (None, None)
    assert cell.reason == "axis_coherence: no layer is recommended"


def test_what_is_missing_is_counted_with_its_reason(compare):
    """Values of other scales and of metrics that are not computed here."""
    values = [
        published(0.5, 100),
        replace(published(0.5, 100), scale="400k"),
        published(0.5, None, metric="p_truth", split="all"),
        published(0.5, 100, split="ambiguous"),
    ]
    found = compare(values)
    assert len(found.served) == 1
    assert {reason: len(cells) for reason, cells in found.missing.items()} == {
        "no analyzed run of this scale on this benchmark": 1,
        "vlmprobe does not compute p_truth": 1,
        "the run has no ambiguous pairs": 1,
    }


def test_a_wrong_name_or_margin_is_refused(compare):
    """One line that says what there is."""
    with pytest.raises(UsageError, match="accuracy"):
        compare([published(0.5, 9)], margins={"acuracy": 0.1})
    with pytest.raises(UsageError, match="above 0 and below 1"):
        compare([published(0.5, 9)], margins={"accuracy": 3.0})
    with pytest.raises(UsageError, match="published benchmark"):
        compare([replace(published(0.5, 9), benchmark="Another")])


def test_the_command_says_that_nothing_of_the_demo_is_published(study, inside):
    """A family without published values, a benchmark that is none, a margin that is no number."""
    where = ("--home", study.home)
    ran = inside("reproduce", "tiny", "--benchmark", "EmbSpatial-Bench", *where)
    assert ran.code == 2
    assert "nothing is published of tiny" in ran.err
    assert "EmbSpatial-Bench, CV-Bench-3D" in inside("reproduce", *where).err
    assert "published benchmark" in inside("reproduce", "--benchmark", "EmbSpatial", *where).err
    assert "accuracy=0.03" in inside("reproduce", "--margin", "accuracy", *where).err


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch, study: Any) -> Any:
    """Publish a paper about the study's own model, on a benchmark of its dataset's name."""
    values = [
        replace(published(0.6, 129), benchmark="benchmark"),
        replace(published(0.2, 129, metric=AXIS_COHERENCE.name, split="all"), benchmark="benchmark"),
        replace(published(0.9, None, metric="p_truth"), benchmark="benchmark"),
    ]
    monkeypatch.setattr("vlmprobe.workflows.reproduce.read_published", lambda: values)
    return study


def test_the_command_prints_table_json_csv_and_latex(paper, inside):
    """Verdicts are words with their margin; what is missing is in the JSON, and counted beside the table."""
    where = ("--home", paper.home, "--margin", "accuracy=0.5")
    table = inside("reproduce", *where).ok()
    assert "equivalent within ±50 points" in table.out
    assert "1 values missing here: vlmprobe does not compute p_truth: tiny @ 2m on benchmark" in table.err
    assert "no reproduction" in table.err
    rows = json.loads(inside("reproduce", "--json", *where).ok().out)
    assert [row["verdict"] for row in rows][::2] == ["equivalent", None]
    assert rows[2]["reason"] == "vlmprobe does not compute p_truth"
    assert inside("reproduce", "--csv", *where).ok().out.startswith("family,scale,benchmark,metric,")
    latex = inside("reproduce", "--latex", *where).ok().out
    assert latex.startswith("\\begin{tabular}{lllllllrrrrrrl}\n\\toprule\n")
    assert "equivalent within $\\pm$50 points \\\\" in latex
    assert "axis\\_coherence" in latex
