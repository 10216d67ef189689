"""Differences as people read them: digits, reasons, words, a matrix; escaped wherever they go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmprobe.analysis.catalog import (
    DELTA_ABOVE_CONTROL,
    DELTA_ACCURACY,
    DELTA_COHERENCE,
    DELTA_VD_EI,
    DELTA_VD_EI_SIZE,
    VD_EI_OF_CONTROL,
)
from vlmprobe.analysis.difference import CLUSTERED_T, MCNEMAR, PAIRED_T, Difference, averaged, with_holm
from vlmprobe.analysis.geometry.estimates import NOT_RESOLVED
from vlmprobe.analysis.inference import Estimate
from vlmprobe.reports import render_report
from vlmprobe.reports.comparison import (
    ChangedPair,
    Compared,
    Comparison,
    pair_rows,
    shown_rows,
    tidy_rows,
)
from vlmprobe.reports.matrix import ScaleMatrix
from vlmprobe.reports.report import ChangeRow

HOSTILE = "<script>alert('x')</script>"
COHERENCE = Difference(
    DELTA_COHERENCE,
    "distance",
    Estimate(0.09501, 80, 0.0191, 0.05698, 0.13304),
    1e-6,
    PAIRED_T,
    80,
    before=0.56982,
    after=0.66483,
)
ACCURACY = Difference(
    DELTA_ACCURACY,
    "distance",
    Estimate(0.025, 80, 0.021, -0.0175, 0.0657),
    0.5,
    CLUSTERED_T,
    80,
    before=0.925,
    after=0.95,
    gained=2,
    lost=0,
)
MISSING = Difference(
    DELTA_VD_EI, "vertical/distance", Estimate(None, 80, reason="no axis"), None, PAIRED_T, 160
)


def comparison(rows=(COHERENCE, ACCURACY, MISSING), **changes):
    """Return a comparison of 800k and 2m."""
    changed = tuple(
        ChangedPair(f"p{i}", "far", "distance", "counter", gained=i < 7, training="") for i in range(8)
    )
    part = Compared("800k", "2m", "5", tuple(with_holm(rows)), changed)
    plain = Comparison("800k, 2m on bench", (part,), None, 240, 240, 3, "geometry at layer 5", ("",))
    return replace(plain, **changes)


def test_digits_follow_the_interval_and_what_is_missing_says_why():
    """Two significant digits of the half-width; no column of scales for one comparison."""
    first, second, third = shown_rows(comparison())
    assert list(first)[:2] == ["metric", "target"]
    assert (first["before"], first["after"], first["value"]) == ("0.570", "0.665", "+0.095")
    assert (first["95 % interval"], first["MDE"]) == ("[0.057, 0.133]", "0.060")
    assert (first["p"], first["p (Holm)"], first["resolved"]) == ("< 0.001", "at most 0.05", "yes")
    assert (second["value"], second["changed"], second["resolved"]) == ("+0.025", "+2/-0", "no")
    assert (third["value"], third["resolved"], third["note"]) == ("n/a", "n/a", "no axis")


def test_programs_get_every_digit_and_none_for_no_data():
    """One row per number, with the family's size and the reason."""
    first, _, third = tidy_rows(comparison())
    assert (first["value"], first["ci_low"], first["layer"], first["n_tests"]) == (0.09501, 0.05698, "5", 2)
    assert (first["resolved"], first["method"], first["reason"]) == (True, PAIRED_T, None)
    assert (third["value"], third["p_value"], third["reason"]) == (None, None, "no axis")


def test_the_words_name_the_family_of_tests_and_what_the_numbers_are_about():
    """How many tests, how many pairs, one training or several."""
    text = " ".join(comparison().words())
    assert "240 pairs of 240 images that all runs answered; 3 left out" in text
    assert (
        "resolved (Holm over 2 tests): p (Holm), corrected for all tests printed here, is at most 0.05"
        in text
    )
    assert (
        "MDE: a true difference of this size would have been resolved in about 4 of 5 such studies (.73 to .92 in "
        "made-up worlds), after Holm at its strictest over 2 tests; simulated for accuracy, coherence from .1 and "
        "from .5, and a size of VD-EI of .3; not for coherence from above .5, the demo's deltas" in text
    )
    assert "one training each: about these checkpoints" in text
    assert "3 trainings each: means" in " ".join(comparison(trainings=("", "b", "c")).words())


def test_what_is_above_a_control_stands_beside_with_what_the_controls_have():
    """The control in the target's cell and its values in the note for people, columns for programs; a line explains."""
    above = replace(
        COHERENCE, entry=DELTA_ABOVE_CONTROL, p_value=None, method="", before=0.55, after=0.61,
        control="grey", control_before=0.02, control_after=0.0501,
    )  # fmt: skip
    lacking = "no controls of tiny @ 80k: run 'vlmprobe control tiny --data bench.tsv --scale 80k'"
    found = comparison((COHERENCE, above), lacking=(lacking,))
    _, shown = shown_rows(found)
    assert (shown["target"], shown["before"], shown["after"]) == ("distance, grey", "0.550", "0.610")
    assert (shown["p"], shown["resolved"], shown["MDE"]) == ("n/a", "n/a", "n/a")
    assert shown["note"] == "control: 0.020 before, 0.050 after"
    first, row = tidy_rows(found)
    assert (row["target"], row["control"], row["control_after"]) == ("distance", "grey", 0.0501)
    assert (first["control"], first["control_before"], first["n_tests"]) == (None, None, 1)
    words = found.words()
    assert words[-1] == lacking
    assert any(line.startswith("above_control: before and after are coherence minus") for line in words)
    assert not any("above_control" in line for line in comparison().words())


def test_vd_ei_of_controls_is_shown_with_its_own_intervals_and_no_difference():
    """Over several trainings the means stand alone; a control without axes has no angle."""
    none = Estimate(None, 40, reason=NOT_RESOLVED)
    beside = replace(
        COHERENCE, entry=VD_EI_OF_CONTROL, target="vertical/distance", estimate=replace(none, reason="side by side"),
        p_value=None, method="", before=None, after=None, control="grey", control_before=-0.3, control_after=None,
        of_controls=(Estimate(-0.3, 40, 0.1, -0.5, -0.1), none),
    )  # fmt: skip
    found = comparison((beside, replace(beside, of_controls=None)))
    shown, means = shown_rows(found)
    assert (shown["value"], shown["target"]) == ("n/a", "vertical/distance, grey")
    assert shown["note"] == "control: -0.30 [-0.50, -0.10] before, not resolved after"
    assert means["note"] == "control: -0.30 before, not known after"
    row, _ = tidy_rows(found)
    assert (row["control_before_low"], row["control_before_high"]) == (-0.5, -0.1)
    assert (row["control_after_low"], row["control_after_reason"]) == (None, NOT_RESOLVED)
    assert any(line.startswith("of_control: VD-EI of the controls") for line in found.words())
    assert not any(line.startswith("above_control") for line in found.words())


def test_small_p_values_of_t_tests_are_not_told_apart():
    """They are checked at 5 %; an exact p-value has its digits, and JSON has all of them."""
    exact = replace(ACCURACY, p_value=0.0002, method=MCNEMAR, gained=14, lost=0)
    shown = shown_rows(comparison([replace(ACCURACY, p_value=0.0002), exact]))
    assert [row["p"] for row in shown] == ["< 0.001", "0.00020"]
    assert [row["p (Holm)"] for row in shown] == ["at most 0.05", "0.00040"]
    assert tidy_rows(comparison())[0]["p_value"] == 1e-6


def test_changed_pairs_are_counted_and_the_first_five_named():
    """All of them if asked for; also as rows."""
    gained, lost = comparison().changes()
    assert gained == "800k -> 2m: 7 gained: p0, p1, p2, p3, p4, and 2 more (--pairs)"
    assert lost == "800k -> 2m: 1 lost: p7"
    assert comparison().changes(all_pairs=True)[0].endswith(": p0, p1, p2, p3, p4, p5, p6")
    assert [row["change"] for row in pair_rows(comparison())] == ["gained"] * 7 + ["lost"]


def test_a_fall_is_worse_only_where_it_is_resolved_and_of_accuracy_or_coherence():
    """A smaller VD-EI is not worse, and a fall that may be noise is none."""
    fall = replace(COHERENCE, estimate=Estimate(-0.095, 80, 0.019, -0.133, -0.057))
    assert comparison([fall]).is_worse
    assert not comparison([COHERENCE]).is_worse
    assert not comparison([replace(fall, p_value=0.06)]).is_worse
    assert not comparison([replace(fall, entry=DELTA_VD_EI)]).is_worse


@pytest.fixture
def matrix():
    """Return the matrix of three scales."""
    rows = with_holm([COHERENCE, replace(COHERENCE, p_value=0.4), ACCURACY])
    places = (("400k", "800k"), ("400k", "2m"), ("800k", "2m"))
    differences = tuple((*place, row) for place, row in zip(places, rows, strict=True))
    return ScaleMatrix(HOSTILE, ("400k", "800k", "2m"), differences, 240, 3, "geometry at layer 5", 1)


def test_the_report_has_a_matrix_of_scales(report, matrix):
    """Resolved differences are bold, the others say that they are not; intervals are in their titles."""
    page = render_report(report(matrices=[matrix]))
    section = page.partition('<section id="resolved">')[2].partition("</section>")[0]
    assert HOSTILE not in page
    assert "alert(&#39;x&#39;)&lt;/script&gt;: resolved (Holm over 3 tests)" in section
    assert "distance <b>+0.095</b>" in section
    assert "distance +0.095, not resolved" in section
    assert (
        'title="95 % interval 0.057 to 0.133; paired jackknife t: p 0.40, 0.80 (Holm over 3 tests); MDE 0.063"'
        in section
    )
    assert "240 pairs that every scale answered, 3 left out" in section
    assert (
        "Test: paired jackknife t, checked in simulations at 5 %, also on the demo&#39;s deltas, where a test of angles"
        in section
    )
    assert "do not allow for the choice" in section
    assert '<a href="#resolved">Which scales differ</a>' in page


def test_the_matrix_says_where_there_is_nothing_to_compare(report, matrix):
    """All answers alike, with no MDE; no axis in one of the two, with the reason and no verdict."""
    alike = Difference(
        DELTA_ACCURACY, "distance", Estimate(0.0, 80, 0.01, -0.02, 0.02), 1.0, MCNEMAR, 80, 0.0, 0.0, 0, 0,
        alike=True,
    )  # fmt: skip
    angle = replace(MISSING, entry=DELTA_VD_EI_SIZE)
    rows = tuple(("400k", "800k", row) for row in with_holm([alike, angle]))
    page = render_report(report(matrices=[replace(matrix, differences=rows)]))
    section = page.partition('<section id="resolved">')[2].partition("</section>")[0]
    assert (
        '(Holm over 1 tests); MDE n/a: all answers alike">distance 0.000, all answers alike</small>'
        in section
    )
    assert (
        "Test: exact McNemar, stricter than the interval, which may leave out 0 where p is above .05;"
        in section
    )
    assert '<small title="no axis">vertical/distance n/a</small>' in section


def test_what_was_gained_and_lost_points_to_its_test(report, matrix):
    """The counts have no p-value of their own: the matrix has it, or the command."""
    rows = [ChangeRow("tiny", "400k", "800k", "distance", 80, 3, 0)]
    for matrices, pointer in (([matrix], 'tested in <a href="#resolved">'), ([], "vlmprobe compare")):
        page = render_report(report(matrices=matrices, changes=rows))
        section = page.partition('<section id="changes">')[2].partition("</section>")[0]
        assert pointer in section, pointer


def test_the_report_shows_means_over_trainings_beside_what_pictures_leave_open(report, matrix):
    """Four trainings of the demo: -.16, the interval, the SD between them, the error over images."""
    from vlmprobe.analysis.trainings import over_trainings
    from vlmprobe.reports.matrix import OfTrainings

    mean = over_trainings([Estimate(value, 80, 0.054) for value in (0.30, -0.60, 0.20, -0.54)])
    row = OfTrainings("2m", "vd_ei.corrected", "vertical/distance", mean)
    page = render_report(report(matrices=[replace(matrix, of_trainings=(row,), n_trainings=4)]))
    section = page.partition('<section id="resolved">')[2].partition("</section>")[0]
    assert row.shown == ("-0.16", "-0.92 to 0.60", "0.48", "0.05")
    assert '<td class="n">4</td><td class="n">-0.16</td><td class="n">-0.92 to 0.60</td>' in section
    assert "Means over 4 trainings, with t intervals over trainings" in section


def test_several_trainings_have_columns_of_their_own():
    """The spread between them beside the error over images; gains and losses are of single trainings."""
    rows = averaged([[ACCURACY], [replace(ACCURACY, estimate=Estimate(0.1, 80, 0.03, 0.04, 0.16))]])
    (row,) = shown_rows(comparison(rows, trainings=("", "b")))
    assert (row["SD trainings"], row["SE images"], row["changed"]) == ("0.05", "0.03", "n/a")
