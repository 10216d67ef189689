"""The variant of a figure in which unreliable categories are pale and marked."""

from __future__ import annotations

import math

import pytest
from matplotlib.patches import Rectangle

from vlmprobe.analysis.results import SimilarityMatrix
from vlmprobe.errors import UsageError
from vlmprobe.figures import layer_curves, pca_panels, scale_curves, similarity_heatmap
from vlmprobe.pairs.axes import SPACE

CLOSE = {("tiny", "80k"): {"close"}}
CATEGORIES = ("left", "right", "above", "below", "far", "close")


def markers(panel):
    """Return the marker of each line of data by its colour."""
    return [line.get_marker() for line in panel.lines if not line.get_label().startswith("_")]


def legend(figure):
    """Return what the legend says."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_an_unreliable_category_is_a_pale_line_with_crosses(curve):
    """Close is paler than its own colour and marked; far is not touched; the legend says why."""
    figure = scale_curves([curve(name, (0.1, 0.2)) for name in ("far", "close")], unreliable=CLOSE)

    panel = figure.axes[0]
    assert markers(panel) == ["^", "x"]
    far, close = (line.get_color() for line in panel.lines if not line.get_label().startswith("_"))
    assert far == SPACE.category("far").color
    assert close != SPACE.category("close").color
    assert legend(figure)[-1] == "pale, \N{MULTIPLICATION SIGN}: answered correctly\nless than half the time"


def test_an_axis_with_an_unreliable_category_is_pale_too(curve):
    """The distance axis holds close; the vertical axis does not; another scale is another matter."""
    figure = layer_curves(
        [curve(axis, (0.1, 0.2), scale) for axis in ("vertical", "distance") for scale in ("80k", "2m")],
        unreliable=CLOSE,
    )

    assert [markers(panel) for panel in figure.axes] == [["s", "v"], ["x", "v"]]


def handles(figure):
    """Return the marker of each line in the legend by its label."""
    return {handle.get_label(): handle.get_marker() for handle in figure.legends[0].legend_handles}


def test_in_the_legend_a_scale_is_pale_when_every_line_of_it_is(curve):
    """Vanilla is unreliable in both panels, 80k in one, 2m in none."""
    axes, scales = ("vertical", "distance"), ("vanilla", "80k", "2m")
    figure = layer_curves(
        [curve(axis, (0.1, 0.2), scale) for axis in axes for scale in scales],
        unreliable=CLOSE | {("tiny", "vanilla"): CATEGORIES},
    )

    shown = handles(figure)
    assert {scale: shown[scale] for scale in scales} == {"vanilla": "x", "80k": "s", "2m": "v"}


def test_where_no_pale_line_is_drawn_the_legend_explains_none(curve):
    """The one unreliable category has no data."""
    nothing = (math.nan, math.nan)
    for draw in (layer_curves, scale_curves):
        figure = draw([curve("far", (0.1, 0.2)), curve("close", nothing)], unreliable=CLOSE)
        assert not any("pale" in text for text in legend(figure))


def test_without_unreliable_categories_nothing_changes(curve):
    """No cross and no line in the legend."""
    figure = scale_curves([curve("far", (0.1, 0.2))], unreliable={("tiny", "80k"): set()})

    assert legend(figure) == ["far"]


def test_rows_and_columns_of_the_heatmap_are_veiled():
    """One category of six veils 11 of 36 cells and has a cross at its names."""
    matrix = SimilarityMatrix("tiny", "80k", 4, "all", ((0.5,) * 6,) * 6)
    panel = similarity_heatmap(matrix, unreliable=CLOSE).axes[0]

    assert sum(isinstance(patch, Rectangle) for patch in panel.patches) == 11
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ["left", "right", "above", "below", "far", "close \N{MULTIPLICATION SIGN}"]


def test_points_are_pale_crosses(cloud):
    """In the legend an unreliable category has a cross behind its name."""
    figure = pca_panels(cloud(CATEGORIES), cloud(CATEGORIES), unreliable=CLOSE)

    assert "close \N{MULTIPLICATION SIGN}" in legend(figure)
    assert "far" in legend(figure)


def test_labels_of_a_veiled_comparison_can_be_read(badly_set_text):
    """Five scales, each with its own names at its axes."""
    matrices = [
        SimilarityMatrix("tiny", scale, 35, "both_correct", ((-0.5,) * 6,) * 6)
        for scale in ("vanilla", "80k", "400k", "800k", "2m")
    ]
    figure = similarity_heatmap(matrices, unreliable={("tiny", "vanilla"): CATEGORIES})

    assert badly_set_text(figure) == []


def test_a_wrong_category_is_answered_with_the_right_ones(curve):
    """An axis is no category."""
    with pytest.raises(
        UsageError, match="unknown category 'distance'; known: left, right, above, below, far, cl"
    ):
        scale_curves([curve("far", (0.1, 0.2))], unreliable={("tiny", "80k"): {"distance"}})
