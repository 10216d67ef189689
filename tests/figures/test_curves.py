"""Curves over decoder layers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from vlmprobe.analysis import LayerCurve
from vlmprobe.errors import UsageError
from vlmprobe.figures import layer_curves, vd_ei_over_layers

AXES = ("horizontal", "vertical", "distance")
SCALES = ("vanilla", "80k", "400k", "800k", "2m")
VD = ("vertical/distance", "horizontal/vertical", "horizontal/distance")


def lines(panel):
    """Return lines of data by their label; the zero line has none."""
    return {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}


def bands(panel):
    """Return the bootstrap bands of a panel."""
    return [band for band in panel.collections if isinstance(band, PolyCollection)]


def test_one_panel_an_axis_with_one_line_and_one_band_a_scale(curve):
    """Three axes of two scales are three panels of two lines and two bands, all on one y range."""
    heights = dict(zip(AXES, (0.1, 0.2, 0.9), strict=True))
    figure = layer_curves(
        [curve(axis, (0.0, height), scale) for axis, height in heights.items() for scale in ("vanilla", "2m")]
    )

    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "horizontal (left/right)",
        "vertical (above/below)",
        "distance (far/close)",
    ]
    for panel in figure.axes:
        assert list(lines(panel)) == ["tiny @ vanilla", "tiny @ 2m"]
        assert len(bands(panel)) == 2
        assert panel.get_title(loc="right") == "n = 40"
    assert len({panel.get_ylim() for panel in figure.axes}) == 1


def test_lines_hold_the_numbers_they_were_given(curve):
    """What is drawn is what was handed in: layers on x, values on y."""
    figure = layer_curves([curve("vertical", (0.1, 0.4, 0.3))])

    line = lines(figure.axes[0])["tiny @ 80k"]
    assert list(line.get_xdata()) == [0, 1, 2]
    assert list(line.get_ydata()) == [0.1, 0.4, 0.3]


def test_categories_stand_in_columns_by_axis(curve):
    """Above each other: left and right, above and below, far and close."""
    categories = ("close", "far", "below", "above", "right", "left")
    figure = layer_curves(
        [curve(name, (0.1, 0.2), metric="within_category_consistency") for name in categories]
    )

    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["left", "above", "far", "right", "below", "close"]


def test_nan_is_a_gap_and_a_lone_value_a_mark(curve):
    """Of a long line broken on both sides of layer 15, layer 15 is a mark; nothing is drawn where NaN is."""
    values = [0.2] * 36
    values[14] = values[16] = math.nan
    figure = layer_curves([curve("vertical", tuple(values))])

    line = lines(figure.axes[0])["tiny @ 80k"]
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [14, 16]
    assert 15 in line.get_markevery()
    # One polygon left of the gap and one right of it; a lone point has no width.
    assert [len(path.vertices) > 0 for path in bands(figure.axes[0])[0].get_paths()].count(True) >= 2


def test_a_panel_or_scale_without_data_says_so(curve):
    """All NaN is the words "no data" in the panel and beside the scale's name, never a line at 0."""
    nothing = (math.nan, math.nan)
    figure = layer_curves(
        [
            curve("vertical", nothing, "vanilla"),
            curve("distance", nothing, "vanilla"),
            curve("vertical", (0.1, 0.2)),
        ]
    )

    assert [[text.get_text() for text in panel.texts] for panel in figure.axes] == [[], ["no data"]]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["vanilla (no data)", "80k"]


def test_a_panel_names_the_scales_that_it_lacks(curve, badly_set_text):
    """Vanilla has no vertical value: it is named there, and its pairs are not among those that are counted."""
    figure = layer_curves(
        [
            replace(curve("vertical", (math.nan, math.nan), "vanilla"), n=7),
            replace(curve("distance", (0.1, 0.2), "vanilla"), n=7),
            *(curve(axis, (0.1, 0.2), "2m") for axis in ("vertical", "distance")),
        ]
    )

    notes = [panel.get_title(loc="right") for panel in figure.axes]
    assert notes == ["no data: vanilla\nn = 40", "n = 7\N{EN DASH}40"]
    assert badly_set_text(figure) == []


def test_many_missing_scales_are_counted(curve, badly_set_text):
    """Where their names would not fit above the panel, and beside the word control."""
    nothing, families = (math.nan, math.nan), ("qwen25", "molmo")
    figure = vd_ei_over_layers(
        [
            curve(t, nothing if t == VD[1] and s != "2m" else (0.1, 0.2), s, metric="vd_ei.pooled", family=f)
            for t in VD
            for s in SCALES
            for f in families
        ]
    )

    assert figure.axes[1].get_title(loc="right") == "control\nno data: 8 scales\nn = 40"
    assert badly_set_text(figure) == []


def test_a_band_has_a_line_around_it(curve):
    """How far a band goes can be seen where bands lie on each other; these lines are no data of the legend."""
    panel = layer_curves([curve("vertical", (0.2, 0.4))]).axes[0]

    edges = [line for line in panel.lines if line.get_label() == "_tiny @ 80k"]
    assert [list(line.get_ydata()) for line in edges] == [
        pytest.approx([0.1, 0.3]),
        pytest.approx([0.3, 0.5]),
    ]


def test_norms_that_grow_by_orders_of_magnitude_are_drawn_on_a_log_axis(curve):
    """A norm from 1 to 1,000 is readable at both ends; a cosine never is on a log axis."""
    norm = layer_curves([curve("left", (1.0, 30.0, 1000.0), metric="delta_norm")])
    cosine = layer_curves([curve("left", (0.001, 0.9), metric="axis_coherence")])

    assert norm.axes[0].get_yscale() == "log"
    assert cosine.axes[0].get_yscale() == "linear"


def test_a_given_figure_is_emptied_and_drawn_into(curve):
    """Drawing twice into one figure of one's own leaves the second drawing, at the figure's size."""
    mine = Figure(figsize=(5, 4))
    layer_curves([curve("vertical", (0.1, 0.2))], figure=mine)
    again = layer_curves([curve("vertical", (0.1, 0.2))], figure=mine)

    assert again is mine
    assert len(mine.axes) == 1
    assert tuple(mine.get_size_inches()) == (5, 4)


def test_no_text_is_cut_off_or_covered(curve, layers, badly_set_text):
    """Five scales, a foreign checkpoint and two families: every label can be read."""
    values = tuple(0.1 + 0.01 * layer for layer in range(layers))
    curves = [
        curve(axis, values, scale, family=family)
        for axis in AXES
        for scale in (*SCALES, "roborefer")
        for family in ("qwen25", "molmo")
    ]

    assert badly_set_text(layer_curves(curves)) == []


def test_a_long_title_wraps(curve, badly_set_text):
    """A title longer than a one-panel figure is wide goes on in a second line."""
    figure = layer_curves([curve("vertical", (0.1, 0.2))], title="one title that is far too long " * 4)

    assert "\n" in figure.get_suptitle()
    assert badly_set_text(figure) == []


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (
            [{"metric": "delta_norm"}],
            "one metric of one subset, not axis_coherence of all, delta_norm of all",
        ),
        ([{"subset": "both_correct"}], "not axis_coherence of all, axis_coherence of both_correct"),
        ([{}], "two curves for tiny @ 80k, vertical; pass one run per scale"),
    ],
)
def test_curves_that_do_not_belong_in_one_figure_are_refused(curve, others, message):
    """Two metrics, two subsets or two runs of one scale would be drawn over each other."""
    curves = [curve("vertical", (0.1,)), *(curve("vertical", (0.1,), **other) for other in others)]
    with pytest.raises(UsageError, match=message):
        layer_curves(curves)


def test_no_curves_is_an_error():
    """An empty figure would look like a result."""
    with pytest.raises(UsageError, match="no curves to draw; run `vlmprobe analyze` first"):
        layer_curves([])


def test_vd_ei_has_a_main_panel_and_two_controls_about_one_zero_line(curve, layers, badly_set_text):
    """Vertical/distance is the wide panel; the controls share its y range; zero is drawn in each."""
    values = tuple(0.6 - 0.02 * layer for layer in range(layers))
    figure = vd_ei_over_layers([curve(t, values, s, metric="vd_ei.pooled") for t in VD for s in SCALES])

    assert [panel.get_title(loc="left") for panel in figure.axes] == list(VD)
    assert [panel.get_title(loc="right") for panel in figure.axes] == ["n = 40"] + ["control\nn = 40"] * 2
    assert all([0.0, 0.0] in [list(line.get_ydata()) for line in panel.lines] for panel in figure.axes)
    assert len({panel.get_ylim() for panel in figure.axes}) == 1
    assert badly_set_text(figure) == []
    widths = [panel.get_position().width for panel in figure.axes]
    assert widths[0] > widths[1]


def test_vd_ei_without_controls_is_one_panel(curve):
    """Equation 3 has no controls."""
    figure = vd_ei_over_layers([curve("vertical/distance", (0.1, 0.2), metric="vd_ei.eq3")])

    assert len(figure.axes) == 1


def test_vd_ei_with_one_control_says_that_the_other_has_no_data(curve):
    """A missing control is not left out as if there were none."""
    figure = vd_ei_over_layers([curve(t, (0.1, 0.2), metric="vd_ei.pooled") for t in VD[:2]])

    assert [[text.get_text() for text in panel.texts] for panel in figure.axes] == [[], [], ["no data"]]


def test_vd_ei_names_the_targets_it_knows(curve):
    """A wrong target is answered with the right ones."""
    with pytest.raises(UsageError, match="unknown VD-EI target 'vertical'; known: vertical/distance, horiz"):
        vd_ei_over_layers([curve("vertical", (0.1,), metric="vd_ei.pooled")])


def test_the_band_of_vd_ei_of_controls_has_gaps_where_none_has_both_axes():
    """A layer between two gaps is a bar; controls without any axis draw nothing and have no entry in the legend."""
    nan = math.nan
    known = LayerCurve(
        "tiny", "80k", 1, "vd_ei.corrected", "vertical/distance", "all", (0, 1, 2, 3), (0.1,) * 4, (0.0,) * 4,
        (0.2,) * 4, 80,
    )  # fmt: skip
    control = replace(
        known, values=(nan, -0.2, nan, nan), low=(nan, -0.3, nan, nan), high=(nan, -0.1, nan, nan)
    )
    figure = vd_ei_over_layers([known], controls=[control])
    areas = [each for each in figure.axes[0].collections if each.get_label() == "_control"]
    shown = [path.get_extents() for area in areas for path in area.get_paths() if len(path.vertices)]
    wide = [each for each in shown if each.width > 0]
    assert [(each.x0, each.x1, each.y0, each.y1) for each in wide] == [(0.85, 1.15, -0.3, -0.1)]
    assert "control" in " ".join(text.get_text() for text in figure.legends[0].get_texts())
    none = replace(control, values=(nan,) * 4, low=(nan,) * 4, high=(nan,) * 4)
    figure = vd_ei_over_layers([known], controls=[none])
    assert "control" not in " ".join(text.get_text() for text in figure.legends[0].get_texts())
