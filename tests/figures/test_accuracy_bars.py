"""Accuracy as bars."""

from __future__ import annotations

import math

import pytest
from matplotlib.patches import Rectangle

from vlmprobe.errors import UsageError
from vlmprobe.figures import accuracy_bars, category_validity_bars

AXES = ("horizontal", "vertical", "distance", "overall")
SCALES = ("vanilla", "80k", "400k", "800k", "2m", "roborefer")
CATEGORIES = ("left", "right", "above", "below", "far", "close")


def heights(panel):
    """Return the heights of a panel's bars, from left to right."""
    return [round(bar.get_height(), 6) for bar in panel.patches if isinstance(bar, Rectangle)]


def test_three_bars_a_scale_and_a_panel_an_axis(point):
    """Original, swapped and both, in the order of training."""
    figure = accuracy_bars(
        [point(axis, value, s) for axis in AXES for s, value in (("2m", 0.9), ("vanilla", 0.4))]
    )

    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["horizontal (left/right)", "vertical (above/below)", "distance (far/close)", "overall"]
    assert heights(figure.axes[0]) == [0.4] * 3 + [0.9] * 3


def test_bars_carry_their_wilson_bounds(point):
    """0.4 with bounds 0.05 beside it."""
    panel = accuracy_bars([point("vertical", 0.4)]).axes[0]

    bars = [segment for line in panel.collections for segment in line.get_segments()]
    assert [[round(float(y), 6) for y in bar[:, 1]] for bar in bars] == [[0.35, 0.45]] * 3


def test_no_pairs_is_no_bar(point):
    """An axis without pairs says "no data", never a bar of height 0."""
    panel = accuracy_bars([point("distance", math.nan), point("distance", 0.5, "2m")]).axes[0]

    assert heights(panel) == [0.5] * 3
    assert [text.get_text() for text in panel.texts] == ["no data"] * 3


def test_unreliable_categories_are_pale_and_marked(category_point):
    """Far is below a half and has a cross at its name; the line at 0.5 is there."""
    figure = category_validity_bars([category_point("above", 0.8), category_point("far", 0.4)])

    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["above", "far \N{MULTIPLICATION SIGN}"]
    assert [0.5, 0.5] in [list(line.get_ydata()) for line in panel.lines]
    assert heights(panel) == [0.8, 0.8, 0.4, 0.4]
    assert figure.legends[0].get_texts()[-1].get_text().startswith("pale")


def test_a_category_without_pairs_is_not_called_unreliable(category_point):
    """Nothing is known of it."""
    panel = category_validity_bars([category_point("far", math.nan)]).axes[0]

    assert [label.get_text() for label in panel.get_xticklabels()] == ["far"]


def test_no_text_is_cut_off_or_covered(point, category_point, badly_set_text):
    """Six scales of two families; six categories, all unreliable."""
    bars = accuracy_bars(
        [point(a, 0.5, s, family=f) for a in AXES for s in SCALES for f in ("molmo", "qwen25")]
    )
    validity = category_validity_bars([category_point(c, 0.3, s) for c in CATEGORIES for s in SCALES])

    assert badly_set_text(bars) == []
    assert badly_set_text(validity) == []


def test_what_cannot_be_drawn_is_refused(point, category_point):
    """Unknown names, two numbers for one group, and nothing at all."""
    with pytest.raises(UsageError, match="unknown axis 'depth'"):
        accuracy_bars([point("depth", 0.5)])
    with pytest.raises(UsageError, match="unknown category 'up'"):
        category_validity_bars([category_point("up", 0.5)])
    with pytest.raises(UsageError, match="two points for tiny @ 80k, overall"):
        accuracy_bars([point("overall", 0.5), point("overall", 0.6)])
    with pytest.raises(UsageError, match="no points to draw"):
        category_validity_bars([])
