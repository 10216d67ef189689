"""The table of controls: what is printed, what is in full, and what a report without controls looks like."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmprobe.analysis.above_control import NO_COORDINATES, AboveControl
from vlmprobe.analysis.angles_beside import AngleBeside
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED
from vlmprobe.analysis.inference import Estimate
from vlmprobe.reports.controls import LAST, RECOMMENDED, ControlRow, controls_in_full, shown_controls
from vlmprobe.reports.html import render_report


def estimate(value, low, high):
    """Return a value with its interval."""
    return Estimate(value, 80, (high - low) / 4, low, high)


@pytest.fixture
def row():
    """Make the horizontal axis of 2m beside grey pictures."""
    geometry = AboveControl(
        "horizontal",
        80,
        coherence=estimate(0.892, 0.876, 0.904),
        of_control=estimate(0.01, -0.02, 0.04),
        difference=estimate(0.882, 0.85, 0.91),
        size=estimate(12.5, 11.0, 14.0),
        own_size=estimate(13.0, 11.5, 14.5),
    )
    return ControlRow(
        "tiny",
        "2m",
        "published",
        "tiny @ 2m",
        "run-2m",
        "grey",
        "c1",
        "horizontal",
        5,
        RECOMMENDED,
        geometry,
        None,
    )


def test_numbers_have_the_digits_of_their_intervals_and_the_verdict_is_that_of_the_bound(row):
    """What is not known is None, never a number."""
    (shown,) = shown_controls([row])
    assert shown["coherence"] == "0.892 [0.876, 0.904]"
    assert (shown["size_left"], shown["adds_an_axis"]) == ("12.5 [11.0, 14.0]", "yes")
    assert shown["right_above"] is None
    assert "own_size" not in shown
    both = replace(row.geometry, size=estimate(0.5, -1.0, 2.0))
    assert shown_controls([replace(row, geometry=both)])[0]["adds_an_axis"] == "no"
    unknown = replace(row.geometry, size=Estimate(None, 80, reason=NO_COORDINATES))
    (shown,) = shown_controls([replace(row, geometry=unknown, layer_is=LAST)])
    assert (shown["size_left"], shown["adds_an_axis"], shown["layer"]) == (None, None, "5 (last)")


def test_machines_get_every_number_and_why_one_is_missing(row):
    """With the ids of both runs."""
    unknown = replace(row.geometry, size=Estimate(None, 80, reason=NO_COORDINATES))
    (full,) = controls_in_full([replace(row, geometry=unknown)])
    assert (full["coherence_above"], full["coherence_above_low"], full["coherence_above_high"]) == (
        0.882,
        0.85,
        0.91,
    )
    assert (full["size_left"], full["size_left_reason"], full["adds_an_axis"]) == (None, NO_COORDINATES, None)
    assert (full["run_id"], full["control_run_id"], full["n"]) == ("run-2m", "c1", 80)


def test_a_report_has_the_table_only_where_there_are_controls(report, row):
    """A scale without controls has no empty section."""
    assert 'id="controls"' not in render_report(report())
    page = render_report(report(controls=[row]))
    assert 'href="#controls"' in page
    section = page.partition('<section id="controls">')[2].partition("</section>")[0]
    assert "0.882 [0.850, 0.910]" in section
    assert "<td>yes</td>" in section


def test_a_report_says_that_random_weights_were_not_run(report, row):
    """A control that was not run is no control that shows nothing."""
    words = "Random weights: not run."
    assert words in render_report(report(controls=[row]))
    assert words not in render_report(report(controls=[row, replace(row, control="random-weights:0")]))


def test_no_means_that_more_than_the_control_is_not_shown(report, row):
    """Not that the control has the axis; and the unit of a squared length stands beside it."""
    page = render_report(report(controls=[row]))
    assert "no = not shown to be more than the control" in page
    assert "else the axis is also in the control" not in page
    assert "in the squared unit of the states, not comparable between scales" in page


def test_vd_ei_of_a_control_stands_beside_that_of_the_run_without_a_difference(report, row):
    """An angle that is not known says so; machines get the reason, and the angles that VD-EI is compared with."""
    none = Estimate(None, 80, reason=NOT_RESOLVED)
    angle = AngleBeside("vertical/distance", 160, estimate(-0.45, -0.55, -0.35), none, is_vd_ei=True)
    beside = replace(row, axis=angle.axes, geometry=None, angle=angle)
    known = replace(beside, angle=replace(angle, of_control=estimate(0.31, 0.1, 0.5)))
    third = replace(beside, axis="horizontal/vertical", angle=replace(angle, is_vd_ei=False))
    rows = [row, beside, known, third]
    of_axis, shown, with_control = shown_controls(rows)
    assert (of_axis["vd_ei"], of_axis["vd_ei_of_control"]) == (None, None)
    assert (shown["axis"], shown["coherence"]) == ("vertical/distance", None)
    assert (shown["vd_ei"], shown["vd_ei_of_control"]) == ("-0.45 [-0.55, -0.35]", "not resolved")
    assert with_control["vd_ei_of_control"] == "0.31 [0.10, 0.50]"
    full = controls_in_full(rows)
    assert [each["axis"] for each in full][1:] == [
        "vertical/distance",
        "vertical/distance",
        "horizontal/vertical",
    ]
    assert (full[1]["vd_ei_of_control"], full[1]["vd_ei_of_control_reason"]) == (None, NOT_RESOLVED)
    assert (full[2]["vd_ei_of_control_low"], full[2]["n"]) == (0.1, 160)
    assert "<td>not resolved</td>" in render_report(report(controls=rows))
