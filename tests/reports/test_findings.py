"""What a report leads with."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

from vlmprobe.analysis.controls import order_warning
from vlmprobe.analysis.results import Metric
from vlmprobe.reports import render_report
from vlmprobe.reports.findings import AxisFinding, Family, Findings, ScaleFindings

from .test_html import HOSTILE, Page


def metric(name, target, value, low=None, high=None, reason=None, layer=-1):
    """Return a number of 40 pairs."""
    return Metric(name, 1, "all", target, layer, value, None, 40, low, high, n_images=40, reason=reason)


def scale(name, samples, p, consistent=0.5, angle=0.876, height=None):
    """Return a scale whose axes have one p-value, or height its own; without an axis it has no angle either."""
    there = p <= 0.05
    pair = "vertical/distance"
    no_angle = "an axis is not resolved"
    return ScaleFindings(
        family="tiny",
        scale=name,
        samples_seen=samples,
        consistent=metric("accuracy.perspective", "distance/consistent", 1.0, 0.9072, 1.0),
        counter=metric("accuracy.perspective", "distance/counter", 0.675, 0.5131, 0.8037),
        gap=metric("accuracy.perspective", "distance/gap", 0.325, 0.166, 0.487),
        consistent_share=consistent,
        layer=5,
        axes=tuple(
            AxisFinding(
                axis,
                own,
                own <= 0.05,
                metric("axis_coherence.balanced", axis, 0.4321, 0.2224, 0.4960, layer=5),
                None,
            )
            for axis, own in (("vertical", p if height is None else height), ("distance", p))
        ),
        angles=(
            metric("vd_ei.corrected", pair, angle, 0.828, 0.924)
            if there
            else metric("vd_ei.corrected", pair, math.nan, reason=no_angle),
        ),
        by_perspective=tuple(
            metric(f"vd_ei.{part}", pair, math.nan, reason="deltas this alike need 80 images")
            for part in ("consistent", "counter", "equal", "gap")
        ),
        plug_ins=(metric("vd_ei.pooled", pair, 0.1234 if not there else 0.8642),),
    )


@pytest.fixture
def findings():
    """Two scales, of which one has axes."""
    family = Family(n_tests=4, n_axes=2, n_scales=2, n_untested=0)
    return Findings([scale("vanilla", 0, 1.0), scale("2m", 2_000_000, 0.0137)], family)


def section(html, name):
    """Return the text of one section of the page."""
    found = re.search(rf'<section id="{name}">.*?</section>', html, re.DOTALL)
    assert found
    return Page(found[0]).text


def test_distance_by_perspective_and_the_gap_are_the_first_table(report, findings):
    """Before the sentences and the table by axis; the other axes stand in its rows."""
    text = section(render_report(report(findings=findings)), "accuracy")
    row = "tiny @ 2m 2,000,000 0.88 [ 0.72 , 0.95 ] n = 32 1.000 [ 0.907 , 1.000 ] n = 40 "
    row += "0.68 [ 0.51 , 0.80 ] n = 40 0.33 [ 0.17 , 0.49 ] n = 40"
    assert row in text
    assert text.index(row) < text.index("Distance: highest observed at 2m")


def test_the_family_of_tests_is_named(report, findings):
    """An adjusted p-value without its family says nothing."""
    text = section(render_report(report(findings=findings)), "axes")
    assert "Holm over 4 tests: 2 axes x 2 scales." in text
    assert "tiny @ 2m distance yes 0.014 5 0.43 [ 0.22 , 0.50 ]" in text
    family = Family(n_tests=2, n_axes=3, n_scales=1, n_untested=1)
    assert str(family) == "Holm over 2 tests: 3 axes x 1 scale, 1 of them not tested"


def test_the_caption_says_what_labels_were_permuted_within(report, findings):
    """As text, whatever the column is called; without strata there is no such sentence."""
    assert "Axes were" not in section(render_report(report(findings=findings)), "axes")
    method = f"label permutation within strata of {HOSTILE}"
    scales = [dataclasses.replace(each, method=method) for each in findings.scales]
    html = render_report(report(findings=dataclasses.replace(findings, scales=scales)))
    assert HOSTILE not in html
    assert f"Axes were tested by {method}." in section(html, "axes")


def test_without_an_axis_no_coherence_and_no_angle_is_printed(report, findings):
    """Refutes: a number for vanilla, whose published value would be .12."""
    html = render_report(report(findings=findings))
    text = section(html, "axes")
    assert "tiny @ vanilla distance no 1.0 n/a n/a" in text
    assert "tiny @ vanilla n/a 50 % n/a" in text
    assert "0.12" not in text
    assert 'title="deltas this alike need 80 images">n/a' in html


def test_one_axis_alone_has_no_angle(report, findings):
    """Refutes: an angle, corrected or published, between an axis that is there and one that is not."""
    lone = Findings([scale("2m", 2_000_000, 0.0137, height=0.4)], findings.family)
    text = section(render_report(report(findings=lone)), "axes")
    assert "tiny @ 2m vertical no 0.40 n/a n/a" in text
    assert "0.876" not in text
    assert text.endswith("tiny @ 2m 50 % n/a")


def test_the_share_of_consistent_pairs_stands_beside_every_angle(report, findings):
    """In the rows of angles, by perspective and as published, and above the figures."""
    html = render_report(report(findings=findings))
    assert section(html, "axes").count("50 %") == 5
    assert "50 % of the distance pairs with a known perspective are consistent." in section(html, "figures")


def test_published_plug_ins_come_last_and_have_no_interval(report, findings):
    """After the corrected angles."""
    text = section(render_report(report(findings=findings)), "axes")
    assert text.endswith("tiny @ 2m 50 % 0.86")
    assert text.index("vd_ei.corrected") < text.index("vd_ei.pooled")


def test_a_study_without_boxes_says_how_to_get_perspectives(report, findings):
    """No first table of nothing: accuracy by axis leads, and the angles have no share."""
    bare = [
        ScaleFindings("tiny", "2m", 2_000_000, None, None, None, None, 5, each.axes, each.angles, (), ())
        for each in findings.scales[1:]
    ]
    html = render_report(report(findings=Findings(bare, findings.family)))
    assert "consistent minus counter" not in html
    assert "tiny @ 2m 5 n/a 0.876 [ 0.828 , 0.924 ]" in section(html, "axes")


def test_what_others_wrote_is_escaped(report, findings):
    """Names of families, scales, axes and metrics, and reasons, come from a database that others may have written."""
    attacked = [
        dataclasses.replace(
            each,
            family=HOSTILE,
            scale=HOSTILE,
            axes=tuple(dataclasses.replace(axis, axis=HOSTILE) for axis in each.axes),
            angles=tuple(dataclasses.replace(found, target=HOSTILE, reason=HOSTILE) for found in each.angles),
            plug_ins=tuple(dataclasses.replace(found, name=HOSTILE) for found in each.plug_ins),
            gap=dataclasses.replace(each.gap, value=math.nan, reason=HOSTILE),
        )
        for each in findings.scales
    ]
    html = render_report(report(findings=Findings(attacked, findings.family)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def with_excess(low, high, **fields):
    """Return a scale with three axes, its VD-EI, and the excess over a control."""
    plain = scale("2m", 2_000_000, 0.01)
    horizontal = dataclasses.replace(plain.axes[0], axis="horizontal")
    excess = metric("vd_ei.excess", "horizontal/vertical", (low + high) / 2, low, high)
    return dataclasses.replace(plain, axes=(horizontal, *plain.axes), excess=(excess,), **fields)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.17, 0.11, "not resolved as larger than horizontal/vertical"),
        (0.07, 0.35, "resolved as larger than horizontal/vertical (unadjusted)"),
        (-0.35, -0.07, "resolved as smaller than horizontal/vertical (unadjusted)"),
    ],
)
def test_the_excess_over_a_control_says_in_words_what_it_says(report, findings, low, high, words):
    """An interval that reaches 0 shows no VD-EI beyond the control."""
    found = Findings([with_excess(low, high)], findings.family)
    text = section(render_report(report(findings=found)), "axes")
    assert "excess over horizontal/vertical" in text
    assert f"[ {low:.2f} , {high:.2f} ] {words} VD-EI by perspective" in text
    assert "unadjusted, 1 excess)" in text


def test_an_excess_without_an_axis_says_nothing(report, findings):
    """Refutes: a verdict where the horizontal axis is not resolved."""
    found = with_excess(0.07, 0.35)
    lost = dataclasses.replace(found.axes[0], is_there=False)
    found = dataclasses.replace(found, axes=(lost, *found.axes[1:]))
    text = section(render_report(report(findings=Findings([found], findings.family))), "axes")
    assert "larger than horizontal/vertical" not in text
    assert "unadjusted, 0 excesses" in text


def test_split_values_stand_beside_those_of_the_chosen_layer(report, findings):
    """The chosen layer is flagged; the last stored one may speak of the answer."""
    found = with_excess(0.07, 0.35, splits=(metric("vd_ei.split", "vertical/distance", 0.8, 0.7, 0.9),))
    axes = tuple(
        dataclasses.replace(axis, split=metric("axis_coherence.split", axis.axis, 0.41, 0.2, 0.5))
        for axis in found.axes
    )
    found = dataclasses.replace(found, axes=axes, last_layer=5)
    text = section(render_report(report(findings=Findings([found], findings.family))), "axes")
    flagged = "yes last stored layer: may be the answer's word 0.010 5 0.43 [ 0.22 , 0.50 ] "
    assert f"{flagged}layer chosen on the same images 0.41 [ 0.20 , 0.50 ]" in text
    assert "0.876 [ 0.828 , 0.924 ] split 0.80 [ 0.70 , 0.90 ]" in text
    early = Findings([dataclasses.replace(found, last_layer=6)], findings.family)
    assert "may be the answer's word" not in section(render_report(report(findings=early)), "axes")


def test_peaks_without_an_axis_are_not_shown(report, findings):
    """Neither in the table of peaks nor in that of runs: a peak of noise has a layer too."""
    peaks = [dataclasses.replace(each, layer=3, value=0.0123, n=32) for each in report().peaks]
    runs = [dataclasses.replace(each, peak_layers={"distance": (3, 0.0123)}) for each in report().runs]
    html = render_report(report(findings=findings, peaks=peaks, runs=runs))
    reason = "no axis resolved (not evidence of none)"
    assert f"tiny @ vanilla distance all n/a n/a {reason} n/a 32" in section(html, "peaks")
    assert "tiny @ 2m distance all 3 0.01" in section(html, "peaks")
    assert section(html, "runs").count("distance: n/a") == 1
    assert section(html, "runs").count("distance: 3 ( 0.01 )") == 1


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (None, None, "a mixture cannot be ruled out here"),
        (-0.1, 0.3, "a mixture cannot be ruled out here"),
        (0.1, 0.3, "VD-EI over all pairs is a mixture"),
    ],
)
def test_a_gap_of_angles_says_whether_vd_ei_is_a_mixture(report, findings, low, high, words):
    """Without a gap nothing is ruled out; each cell says its n."""
    plain = scale("2m", 2_000_000, 0.01)
    gap = metric("vd_ei.gap", "vertical/distance", math.nan if low is None else 0.2, low, high)
    found = dataclasses.replace(plain, by_perspective=(*plain.by_perspective[:-1], gap))
    text = section(render_report(report(findings=Findings([found], findings.family))), "axes")
    assert f"n = 40, 40 images {words}" in text


@pytest.mark.parametrize(
    ("share", "words"), [(0.0, "as with constant answers"), (1.0, "a ceiling"), (0.5, None)]
)
def test_a_gap_of_constant_answers_is_called_so(report, findings, share, words):
    """0 less 0 is no sign that a model treats the perspectives alike."""
    part = metric("accuracy.perspective", "distance/consistent", share, share, share)
    found = dataclasses.replace(findings.scales[1], consistent=part, counter=part)
    text = section(render_report(report(findings=Findings([found], findings.family))), "accuracy")
    assert ("both are" in text) is (words is not None)
    assert words is None or words in text


def test_the_floor_of_p_is_said(report, findings):
    """Equal p-values at the floor are no equal evidence."""
    family = Family(15, 3, 5, 0, smallest_p=1 / 3000, usual_p=1 / 1200)
    text = section(render_report(report(findings=Findings(findings.scales, family))), "axes")
    assert (
        "no p here can be below 0.0050 after Holm's rule, and a clear axis ends between that and 0.013."
        in text
    )


def test_a_floor_that_all_tests_share_is_said_once(report, findings):
    """Refutes: a floor of .0050, which belongs to one layer, where every run has six."""
    family = Family(15, 3, 5, 0, smallest_p=6 / 7201, usual_p=6 / 7201)
    text = section(render_report(report(findings=Findings(findings.scales, family))), "axes")
    assert "no p here can be below 0.012 after Holm's rule, and a clear axis ends near it." in text


def test_captions_say_method_level_and_n(report, findings):
    """Of axes and of angles: what a bracket is, and of how many pairs. An axis that is not there does not count."""
    text = section(render_report(report(findings=findings)), "axes")
    assert "with its 95 % jackknife interval over images; n = 40 pairs, 40 images an axis." in text
    assert "with 95 % jackknife intervals over images, n = 40 pairs, 40 images (pairs of both axes" in text
    first, second = findings.scales[1].axes
    fewer = dataclasses.replace(second, coherence=dataclasses.replace(second.coherence, n=38, n_images=None))
    mixed = dataclasses.replace(findings.scales[1], axes=(first, fewer))
    assert Findings([findings.scales[0], mixed], findings.family).n_of_axes == "n = 38 to 40 pairs, 40 images"
    assert Findings(findings.scales[:1], findings.family).n_of_axes == ""


def test_intervals_are_said_to_ignore_that_the_layer_was_chosen(report, findings):
    """Above the axes, and in the captions of angles and of VD-EI by perspective."""
    text = section(render_report(report(findings=findings)), "axes")
    assert text.count("Intervals are for a fixed layer and do not allow for the choice.") == 3


def test_the_order_effect_stands_beside_the_coherence_with_its_warning(report, findings):
    """The value where the axis is resolved; the warning in any case, since published coherence is drawn in any case."""
    none, there = findings.scales
    order = metric("order_coherence", "vertical", 0.123, 0.081, 0.164, layer=5)
    warning = order_warning(0.123, [True] * 80 + [False] * 20)
    axes = [
        tuple(dataclasses.replace(axis, order=order, order_warning=warning) for axis in each.axes)
        for each in (none, there)
    ]
    warned = dataclasses.replace(
        findings,
        scales=[dataclasses.replace(each, axes=of) for each, of in zip((none, there), axes, strict=True)],
    )
    page = section(render_report(report(findings=warned)), "axes")
    assert (
        page.count("published coherence: an order effect of 0.12 counts in it, since 80% of the pairs") == 4
    )
    assert page.count("0.081") == page.count("0.164") == 2
    assert warned.order_warnings[0].startswith(
        "tiny @ vanilla, vertical, published coherence: an order effect"
    )
    assert findings.order_warnings == []
    assert "an order effect of" not in section(render_report(report(findings=findings)), "axes")
