"""Curves over decoder layers, one panel a scale, and the range that figures share."""

from __future__ import annotations

import math

import pytest
from matplotlib.collections import PolyCollection

from vlmprobe.errors import UsageError
from vlmprobe.figures import (
    alignment_over_layers,
    layer_curves,
    scale_curves,
    shared_limits,
)
from vlmprobe.pairs.axes import SPACE

AXES = ("horizontal", "vertical", "distance")
CATEGORIES = ("left", "right", "above", "below", "far", "close")
PUBLISHED = "cross_axis_alignment.published"


def colors(panel):
    """Return the colours of a panel's lines of data."""
    return [line.get_color() for line in panel.lines if not line.get_label().startswith("_")]


def control_bands(panel):
    """Return the y ranges of the control's bands of a panel."""
    bands = [a for a in panel.collections if isinstance(a, PolyCollection) and a.get_label() == "_control"]
    return [
        (
            round(float(b.get_paths()[0].vertices[:, 1].min()), 6),
            round(float(b.get_paths()[0].vertices[:, 1].max()), 6),
        )
        for b in bands
    ]


def test_one_panel_a_scale_with_one_line_a_target(curve):
    """Scales stand in the order of training; lines have the colours of their axes."""
    figure = scale_curves(
        [curve(axis, (0.1, 0.4), scale) for axis in AXES for scale in ("2m", "roborefer", "vanilla")]
    )

    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["tiny @ vanilla", "tiny @ 2m", "tiny @ roborefer"]
    assert all(colors(panel) == [axis.color for axis in SPACE] for panel in figure.axes)
    assert len({panel.get_ylim() for panel in figure.axes}) == 1


def test_categories_have_their_colours_and_opposites_are_dashed(curve):
    """Left is a solid line, right a dashed one of the same hue."""
    panel = scale_curves([curve(name, (0.1, 0.4), metric="delta_ratio") for name in CATEGORIES]).axes[0]

    lines = [line for line in panel.lines if not line.get_label().startswith("_")]
    assert [line.get_color() for line in lines] == [each.color for each in SPACE.categories]
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 3


def test_shared_limits_hold_every_bound_and_zero(curve):
    """Values to 0.9 with bounds 0.1 beside them: 0 to 1, and 5 % more on both sides."""
    limits = shared_limits(
        [curve("vertical", (0.2, 0.5), "vanilla"), curve("vertical", (0.9, math.nan), "2m")]
    )

    assert limits == pytest.approx((-0.05, 1.05))


def test_shared_limits_of_growing_norms_are_ratios(curve):
    """From 0.9 to 1,000.1 the margin is a factor, so that the range stays above zero."""
    norms = [curve("left", (1.0, 1000.0), metric="delta_norm")]
    low, high = shared_limits(norms)

    assert 0.0 < low < 0.9
    assert high > 1000.1
    assert scale_curves(norms, limits=(low, high)).axes[0].get_yscale() == "log"


def test_nothing_but_nan_has_no_limits(curve):
    """None leaves the range to the figure."""
    assert shared_limits([curve("vertical", (math.nan, math.nan))]) is None


@pytest.mark.parametrize("draw", [layer_curves, scale_curves])
def test_figures_of_two_scales_share_a_range_when_told_so(curve, draw):
    """One scale's figure has the range of both."""
    curves = [curve("vertical", (0.1, 0.2), "vanilla"), curve("vertical", (0.8, 0.9), "2m")]
    limits = shared_limits(curves)

    for one in curves:
        assert draw([one], limits=limits).axes[0].get_ylim() == pytest.approx(limits)


def test_alignment_has_its_control_behind_it(curve):
    """Each scale's panel holds its own control: a hatched band from low to high."""
    figure = alignment_over_layers(
        [
            curve(t, (0.4, 0.6), s, metric=PUBLISHED)
            for t in ("per_sample", "of_means")
            for s in ("vanilla", "2m")
        ],
        [
            curve("shuffled", (0.0, 0.0), "vanilla", metric=PUBLISHED),
            curve("shuffled", (0.2, 0.2), "2m", metric=PUBLISHED),
        ],
    )

    assert [control_bands(panel) for panel in figure.axes] == [[(-0.1, 0.1)], [(0.1, 0.3)]]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "mean over quads",
        "cosine of the means",
        "shuffled quads (control\nof the mean over quads):\nmean and 95 % band",
    ]


def test_across_scales_the_band_covers_every_scale_s_control(curve):
    """Controls from -0.1 to 0.1 and from 0.1 to 0.3 are one band from -0.1 to 0.3, in the panel they name."""
    figure = layer_curves(
        [
            curve(t, (0.4, 0.6), s, metric=PUBLISHED)
            for t in ("per_sample", "of_means")
            for s in ("vanilla", "2m")
        ],
        controls=[
            curve("per_sample", (0.0, 0.0), "vanilla", metric=PUBLISHED),
            curve("per_sample", (0.2, 0.2), "2m", metric=PUBLISHED),
        ],
    )

    assert [control_bands(panel) for panel in figure.axes] == [[(-0.1, 0.3)], []]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-1] == "shuffled quads (control\nof the mean over quads):\nbands of all scales, 95 % each"


def test_a_control_is_hatched_as_no_other_band_is(curve):
    """In the panel and in the legend, so that a grey print tells it from the band of a line."""
    figure = alignment_over_layers(
        [curve("per_sample", (0.4, 0.6), metric=PUBLISHED)], [curve("x", (0.0, 0.0), metric=PUBLISHED)]
    )

    bands = [a for a in figure.axes[0].collections if isinstance(a, PolyCollection)]
    assert {band.get_label(): band.get_hatch() for band in bands} == {"_control": "////", "_tiny @ 80k": None}
    assert [patch.get_hatch() for patch in figure.legends[0].get_patches()] == ["////"]


def test_the_mean_over_quads_goes_before_the_cosine_of_the_means(curve):
    """Whatever order the curves come in: lines and legend have one order in every figure."""
    targets = ("of_means", "per_sample")
    figure = alignment_over_layers([curve(target, (0.4, 0.6), metric=PUBLISHED) for target in targets])

    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["mean over quads", "cosine of the means"]


def test_a_control_belongs_to_one_scale_that_has_a_curve(curve):
    """Two controls of one scale, or one of a scale that is not drawn, are somebody's mistake."""
    curves = [curve("per_sample", (0.1, 0.2), metric=PUBLISHED)]
    control = curve("shuffled", (0.0, 0.0), metric=PUBLISHED)
    with pytest.raises(UsageError, match="two controls for tiny @ 80k"):
        alignment_over_layers(curves, [control, control])
    with pytest.raises(UsageError, match="a control but no curve for tiny @ 2m"):
        alignment_over_layers(curves, [curve("shuffled", (0.0, 0.0), "2m", metric=PUBLISHED)])


def test_no_text_is_cut_off_or_covered(curve, layers, badly_set_text):
    """Five scales and a foreign one, six categories; and the widest legend of the alignment."""
    values = tuple(0.1 + 0.01 * layer for layer in range(layers))
    scales = ("vanilla", "80k", "400k", "800k", "2m", "roborefer")
    categories = [
        curve(name, values, scale, metric="within_category_consistency", subset="both_correct")
        for name in CATEGORIES
        for scale in scales
    ]
    alignment = [
        curve(target, values, metric="cross_axis_alignment.canonical", subset="both_correct")
        for target in ("per_sample", "of_means", "per_sample/consistent", "per_sample/counter")
    ]
    control = [curve("random_signs", values, metric="cross_axis_alignment.canonical", subset="both_correct")]

    assert badly_set_text(scale_curves(categories)) == []
    assert badly_set_text(alignment_over_layers(alignment, control)) == []


def test_curves_that_do_not_belong_in_one_figure_are_refused(curve):
    """Two metrics would be drawn over each other."""
    with pytest.raises(
        UsageError, match="one metric of one subset, not axis_coherence of all, delta_norm of all"
    ):
        scale_curves([curve("vertical", (0.1,)), curve("vertical", (0.1,), metric="delta_norm")])
    with pytest.raises(UsageError, match="no curves to draw"):
        scale_curves([])
