"""Accuracy against training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.figures import accuracy_over_scales

AXES = ("horizontal", "vertical", "distance", "overall")
SCALES = ("vanilla", "80k", "400k", "800k", "2m")


def ticks(panel):
    """Return the place of each tick label."""
    return {
        label.get_text(): place
        for label, place in zip(panel.get_xticklabels(), panel.get_xticks(), strict=True)
    }


def drawn(panel):
    """Return error-bar series by label: y values with the lengths of their bars below and above."""
    series = {}
    for container in panel.containers:
        line, _, (bars,) = container
        lengths = [
            (round(y - ends[0][1], 6), round(ends[1][1] - y, 6))
            for y, ends in zip(line.get_ydata(), bars.get_segments(), strict=True)
            if len(ends)
        ]
        series.setdefault(container.get_label(), []).append((list(line.get_ydata()), lengths))
    return series


def test_each_axis_is_a_series_with_its_wilson_bounds(point):
    """Values and the ends of the error bars are the numbers handed in."""
    figure = accuracy_over_scales([point("distance", 0.2, "vanilla"), point("distance", 0.6, "2m")])

    assert drawn(figure.axes[0]) == {"distance": [([0.2, 0.6], [(0.05, 0.05), (0.05, 0.05)])]}


def test_x_is_logarithmic_in_samples_with_the_untrained_scale_at_zero(point):
    """From 80k on a factor of five is one distance, wherever it stands; the untrained scale is at 0."""
    places = ticks(accuracy_over_scales([point("overall", 0.5, scale) for scale in SCALES]).axes[0])

    assert places["vanilla\n(0)"] == 0.0
    assert places["80k"] == 1.0
    assert places["400k"] - places["80k"] == pytest.approx(places["2m"] - places["400k"])


def test_a_checkpoint_that_is_no_step_of_the_training_stands_apart(point):
    """Nothing is known of its samples: right of the others, and no line leads to it."""
    figure = accuracy_over_scales([point("overall", 0.5, scale) for scale in ("vanilla", "2m", "roborefer")])

    panel = figure.axes[0]
    places = ticks(panel)
    assert max(places, key=places.__getitem__) == "roborefer\n(unknown)"
    trained, aside = (container[0] for container in panel.containers)
    assert len(trained.get_ydata()) == 2
    assert aside.get_linestyle() == "None"


def test_nan_is_a_gap(point):
    """A scale with no pairs on an axis has no mark there, and the line does not bridge it."""
    points = [
        point("distance", value, scale) for value, scale in zip((0.1, math.nan, 0.5), SCALES, strict=False)
    ]
    ((values, bars),) = drawn(accuracy_over_scales(points).axes[0])["distance"]

    assert math.isnan(values[1])
    assert len([bar for bar in bars if not math.isnan(bar[0])]) == 2


def test_all_right_and_none_right_have_one_sided_bars(point):
    """A bound on the wrong side of its value by rounding is drawn as no bar, not as an error."""
    all_right = replace(point("overall", 1.0), acc_both_high=1.0 - 1e-12)
    none_right = replace(point("vertical", 0.0), acc_both_low=1e-17)
    series = drawn(accuracy_over_scales([all_right, none_right]).axes[0])

    assert series == {"overall": [([1.0], [(0.05, 0.0)])], "vertical": [([0.0], [(0.0, 0.05)])]}


def test_labels_of_scales_do_not_touch(point, badly_set_text):
    """Long names, names close to each other and two scales with equal samples are set in rows."""
    scales = (*SCALES, "roborefer", "another-checkpoint-with-a-long-name", "and-one-more-of-them")
    figure = accuracy_over_scales(
        [point(axis, 0.5, scale, family=family) for axis in AXES for scale in scales for family in ("a", "b")]
    )

    assert badly_set_text(figure) == []


def test_families_are_panels_on_one_range(point):
    """Two families stand side by side, from 0 to 1 both."""
    figure = accuracy_over_scales(
        [point("overall", 0.5, family="qwen25"), point("overall", 0.9, family="molmo")]
    )

    assert [panel.get_title(loc="left") for panel in figure.axes] == ["molmo", "qwen25"]
    assert {panel.get_ylim() for panel in figure.axes} == {(-0.03, 1.03)}


def test_unknown_axis_and_doubled_points_are_refused(point):
    """Each mark stands for one run's number."""
    with pytest.raises(
        UsageError, match="unknown axis 'depth'; known: horizontal, vertical, distance, overall"
    ):
        accuracy_over_scales([point("depth", 0.5)])
    with pytest.raises(UsageError, match="two points for tiny @ 80k, overall"):
        accuracy_over_scales([point("overall", 0.5), point("overall", 0.6)])
    with pytest.raises(UsageError, match="no points to draw"):
        accuracy_over_scales([])
