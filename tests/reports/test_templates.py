"""Metrics over templates: how points become a table, and how a report shows it."""

from __future__ import annotations

import dataclasses
import math

from vlmprobe.reports import TemplatePoint, render_report, side_by_side

HOSTILE = "<script>alert('x')</script>"


def point(template, value, *, scale="2m", target="vertical", layer=4, dataset_id="d"):
    """Return the coherence of one axis under a template."""
    bounds = (None, None) if math.isnan(value) else (value - 0.125, value + 0.125)
    where = ("tiny", scale, "bench", dataset_id)
    return TemplatePoint(*where, "axis_coherence", target, template, layer, value, *bounds, 32, "run")


def test_rows_keep_their_order_and_columns_are_the_templates_own():
    """A cell that there is no point for is empty, and templates of unknown names come last."""
    points = [point("yes-no", 0.5), point("mine", 0.25), point("published", 0.75, target="distance")]

    table = side_by_side(points)

    assert table.templates == ("published", "yes-no", "mine")
    assert [(row.target, row.points) for row in table.rows] == [
        ("vertical", (None, points[0], points[1])),
        ("distance", (points[2], None, None)),
    ]
    assert [name for name, _ in table.about] == ["published", "yes-no", "mine"]
    assert "the canonical category holds" in dict(table.about)["yes-no"]


def test_scales_and_datasets_have_rows_of_their_own():
    """Two datasets may share a name."""
    points = [point("published", 0.5), point("published", 0.25, scale="80k")]
    points.append(point("published", 0.75, dataset_id="other"))

    assert [row.points for row in side_by_side(points).rows] == [(each,) for each in points]


def test_the_report_shows_values_with_bounds_and_layer(report):
    """With n, and what each template changes; a value that there is none of says why."""
    points = [point("published", 0.75), point("yes-no", math.nan)]

    page = render_report(report(over_templates=points))

    section = page.partition('<section id="templates">')[2].partition("</section>")[0]
    assert '<span data-value="0.75">0.75</span><small>[<span data-value="0.625">' in section
    assert "<small>layer 4</small><small>n = 32</small>" in section
    assert section.count("n = 32") == 1
    assert "do not allow for the choice" in section
    assert '<span class="none" title="too few pairs, or no axis">n/a</span>' in section
    assert "<dt>yes-no</dt><dd>asks whether the canonical category holds" in section
    assert '<a href="#templates">Across templates</a>' in page


def test_a_report_of_one_template_has_no_such_section(report):
    """There is nothing to stand side by side."""
    assert "Across templates" not in render_report(report())


def test_every_text_of_a_point_is_escaped(report):
    """Names come from a database that others may have written."""
    texts = ("family", "scale", "dataset", "dataset_id", "metric", "target", "template", "run_id")
    hostile = dataclasses.replace(point("published", 0.5), **dict.fromkeys(texts, HOSTILE))

    assert "<script" not in render_report(report(over_templates=[hostile]))


def test_the_peak_is_spoken_of_only_where_it_is_shown():
    """Of the published coherence; the rows of a report are at a layer that was chosen, which is said."""
    peaks = side_by_side([point("published", 0.5)])
    others = side_by_side([dataclasses.replace(point("published", 0.5), metric="accuracy.both")])
    assert "the peak over layers is shown" in peaks.reading
    assert "the peak" not in others.reading
    assert "chosen on the same images" in others.reading
