"""What a report leads with."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

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
    assert text.index(row) < text.index("Distance: 2m gets both answers right")


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
    assert f"It is shown where the axis is there. Axes were tested by {method}." in section(html, "axes")


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
