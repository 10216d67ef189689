"""The short form of the simulation suite: that it counts right, and a few cells with few studies."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import nan

import pytest

from vlmprobe.analysis.inference import Estimate

from . import run, tables
from .experiment import Experiment
from .experiments import EXPERIMENTS
from .outcomes import COVERAGE, FALSE_POSITIVES, Outcome, covers
from .trials import geometry
from .verdicts import cells_of, exact_interval, named
from .worlds import SwapWorld


def _no_study(rng):
    """Nothing is drawn: the outcomes are given."""
    return []


def verdict_of(hits, n, measure=COVERAGE, estimator="mine", **options):
    """Judge one cell of n studies."""
    outcomes = [Outcome(estimator, measure, number < hits) for number in range(n)]
    (cell,) = cells_of(Experiment("world", _no_study, n, **options), outcomes)
    return cell.verdict


@pytest.mark.parametrize(
    ("hits", "n", "measure", "verdict"),
    [
        (950, 1000, COVERAGE, "ok"),
        (915, 1000, COVERAGE, "borderline"),
        (870, 1000, COVERAGE, "fails"),
        (1000, 1000, COVERAGE, "fails"),
        (50, 1000, FALSE_POSITIVES, "ok"),
        (68, 1000, FALSE_POSITIVES, "borderline"),
        (110, 1000, FALSE_POSITIVES, "fails"),
        (0, 1000, FALSE_POSITIVES, "fails"),
    ],
)
def test_a_cell_fails_when_its_interval_lies_outside_the_bar(hits, n, measure, verdict):
    """Too safe without a stated reason fails as well."""
    assert verdict_of(hits, n, measure) == verdict


def test_too_safe_is_conservative_where_the_reason_is_stated():
    """And a stated limit is printed, not judged."""
    assert verdict_of(1000, 1000, notes={("mine", COVERAGE): "few images"}) == "conservative"
    assert verdict_of(800, 1000, limits={("mine", COVERAGE): "few images"}) == "limit"


def of_axes(hits, **options):
    """Return the cells of 1,000 studies that ask about three axes, so many hits of each."""
    outcomes = [
        Outcome("mine", COVERAGE, number < of_axis, 0.0, axis)
        for axis, of_axis in zip("HVD", hits, strict=True)
        for number in range(1000)
    ]
    like = options.pop("like", None)
    return {
        cell.estimator: cell
        for cell in cells_of(Experiment("world", _no_study, 1000, **options), outcomes, like)
    }


def test_axes_share_a_cell_but_not_one_that_misses_its_bar():
    """A rate over all three, here .935, would hide the one that fails. Their interval is that of one alone."""
    (cell,) = of_axes((950, 950, 960)).values()
    assert (cell.estimator, cell.studies, cell.verdict) == ("mine", 1000, "ok")
    assert cell.rate == pytest.approx(0.9533, abs=1e-4)
    assert (cell.low, cell.high) == exact_interval(953, 1000)
    cells = of_axes((975, 960, 870))
    assert {name: (cell.rate, cell.verdict) for name, cell in cells.items()} == {
        "mine": (0.9675, "ok"),
        "mine (D)": (0.87, "fails"),
    }
    # Studied again, it has a cell of its own again.
    assert set(of_axes((950, 950, 950), like=cells.values())) == {"mine", "mine (D)"}
    assert set(of_axes((950, 950, 800), like=[cells["mine"]])) == {"mine"}


def test_a_limit_is_stated_of_one_axis_or_of_all():
    """Of one, it leaves the others' cell."""
    limits = {("mine (D)", COVERAGE): "few images"}
    cells = of_axes((950, 950, 930), limits=limits)
    assert [(name, cell.verdict) for name, cell in cells.items()] == [("mine (D)", "limit"), ("mine", "ok")]
    limits = {("mine", COVERAGE): "few images"}
    assert [cell.verdict for cell in of_axes((950, 950, 930), limits=limits).values()] == ["limit"]
    assert named("vd_ei.corrected (control)", "horizontal/vertical") == (
        "vd_ei.corrected (control, horizontal/vertical)"
    )


def test_the_exact_interval_is_clopper_and_pearsons():
    """Oracle: scipy."""
    from scipy.stats import binomtest

    for hits, n in ((0, 20), (7, 20), (20, 20)):
        expected = binomtest(hits, n).proportion_ci(0.999, "exact")
        assert exact_interval(hits, n) == (pytest.approx(expected.low), pytest.approx(expected.high))


def test_null_is_not_printed_and_not_missed():
    """Coverage is of the studies that had an interval, beside the share of these."""
    assert covers("mine", Estimate(None, 5, reason="no axis"), 1.0).hit is None
    assert covers("mine", Estimate(2.0, 5, 0.5, 1.0, 3.0), 1.5) == Outcome("mine", COVERAGE, True, 0.5)
    outcomes = [Outcome("mine", COVERAGE, None), Outcome("mine", COVERAGE, True, 0.5)]
    (cell,) = cells_of(Experiment("world", _no_study, 2), outcomes)
    assert (cell.printed, cell.rate, cell.bias) == (0.5, 1.0, 0.5)


def test_worlds_have_names_of_their_own_and_seeds_by_name():
    """So that a table can be made again to the digit, in any order and on any number of processes."""
    assert len({each.world for each in EXPERIMENTS}) == len(EXPERIMENTS)
    quick = next(each for each in EXPERIMENTS if each.world.startswith("accuracy 0.5"))
    assert run.study(quick, 2, 3) == run.study(quick, 2, 3)
    assert run.study(quick, 0, 100) != run.study(replace(quick, world="another"), 0, 100)


def test_a_run_writes_its_tables_and_resumes(tmp_path, capsys):
    """Parts that are done are read again; the page and the table have the same rows."""
    options = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--processes", "1"]
    options += ["--share", "0.02", "--only", "quads, coherence 0.0 and 0.0"]
    run.main(options)
    first = (tmp_path / "out" / "cells.csv").read_text()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.jsonl")}
    run.main(options)
    assert (tmp_path / "out" / "cells.csv").read_text() == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.jsonl")} == done
    rows = tables.read_table(tmp_path / "out")
    assert {row["estimator"] for row in rows} == {
        "cross_axis_alignment.canonical (of_means)",
        "cross_axis_alignment.canonical (per_sample)",
        "cross_axis_alignment.published (per_sample)",
    }
    assert "borderline" in {row["verdict"] for row in rows}  # and not studied again, in a look
    page = (tmp_path / "out" / "README.md").read_text()
    assert all(row["world"] in page for row in rows)
    assert "8 cells of 2 worlds" in capsys.readouterr().out


@pytest.mark.parametrize("layout", ["one", "mixed"])
def test_a_hundred_studies_cover_about_as_often_as_they_should(layout):
    """A fault that costs a tenth of the coverage shows here; the full suite shows the rest."""
    world = SwapWorld(pairs=40, layout=layout, dim=48)
    experiment = Experiment("short", partial(geometry, world), 100)
    for cell in cells_of(experiment, run.study(experiment, 0, 100)):
        low = cell.high < 0.92
        assert not low, cell


def test_numbers_that_are_missing_are_empty_in_the_table():
    """No data is empty, never 0."""
    assert tables._digits(nan) == ""
    assert tables._digits(0.5) == "0.5000"
