"""Accuracy, peaks and both together against training."""

from __future__ import annotations

import math

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.figures import ablation, accuracy_trajectory, peaks_over_scales

AXES = ("horizontal", "vertical", "distance")
SCALES = ("vanilla", "80k", "400k", "800k", "2m", "roborefer")
CATEGORIES = ("left", "right", "above", "below", "far", "close")


def values(panel, series):
    """Return the y values of one series, trained scales first."""
    return [
        [round(float(y), 6) for y in container[0].get_ydata()]
        for container in panel.containers
        if container.get_label() == series
    ]


def test_trajectory_has_a_panel_for_either_question_and_for_both(point):
    """A value a scale; the checkpoint that is no step of the training is not connected."""
    figure = accuracy_trajectory(
        [point("distance", v, s) for v, s in ((0.1, "vanilla"), (0.4, "2m"), (0.8, "rob"))]
    )

    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["original question right", "swapped question right", "both right"]
    assert all(values(panel, "distance") == [[0.1, 0.4], [0.8]] for panel in figure.axes)


def test_trajectory_by_category_marks_the_unreliable_hollow(category_point):
    """Far is below a half at 80k and above it at 2m: one hollow mark."""
    figure = accuracy_trajectory([category_point("far", 0.3, "80k"), category_point("far", 0.9, "2m")])

    hollow = [line for line in figure.axes[0].lines if line.get_label() == "_far"]
    assert [list(line.get_ydata()) for line in hollow] == [[0.3]]


def test_trajectory_does_not_mix_axes_and_categories(point, category_point):
    """They are two figures."""
    with pytest.raises(UsageError, match="axes and categories in one figure"):
        accuracy_trajectory([point("distance", 0.5), category_point("far", 0.5)])


def test_peaks_stand_beside_their_layers(peak):
    """A peak of 0.3 at layer 17 and one of 0.6 at layer 21."""
    figure = peaks_over_scales(
        [peak("vertical", 0.3, "80k", layer=17), peak("vertical", 0.6, "2m", layer=21)]
    )

    assert [panel.get_title(loc="left") for panel in figure.axes] == ["largest value", "layer of that value"]
    assert values(figure.axes[0], "vertical") == [[0.3, 0.6]]
    assert values(figure.axes[1], "vertical") == [[17.0, 21.0]]


def test_a_scale_without_data_has_no_peak_and_no_layer(peak):
    """No layer is nowhere, not below the first one."""
    figure = peaks_over_scales([peak("vertical", math.nan, layer=None), peak("vertical", 0.6, "2m", layer=4)])

    [layers] = values(figure.axes[1], "vertical")
    assert math.isnan(layers[0])
    assert layers[1] == 4.0


def test_ablation_shows_accuracy_and_peak_against_samples_seen(point, peak):
    """The untrained scale at 0, a factor of five one distance, roborefer right of a dotted line."""
    scales = ("vanilla", "80k", "400k", "2m", "roborefer")
    figure = ablation([point("vertical", 0.5, s) for s in scales], [peak("vertical", 0.3, s) for s in scales])

    for panel in figure.axes:
        vanilla, small, middle, large, aside = panel.get_xticks()
        assert (vanilla, small) == (0.0, 1.0)
        assert middle - small == pytest.approx(large - middle)
        assert any(large < line.get_xdata()[0] < aside for line in panel.lines if line.get_linestyle() == ":")
    assert values(figure.axes[0], "vertical") == [[0.5] * 4, [0.5]]
    assert values(figure.axes[1], "vertical") == [[0.3] * 4, [0.3]]


def test_families_are_rows(point, peak):
    """Two families, two panels each."""
    figure = ablation(
        [point("vertical", 0.5, family=f) for f in ("qwen25", "molmo")],
        [peak("vertical", 0.3, family="molmo")],
    )

    assert [panel.get_title(loc="left") for panel in figure.axes] == [
        "molmo: accuracy, both right",
        "molmo: peak over layers",
        "qwen25: accuracy, both right",
        "qwen25: peak over layers",
    ]
    assert "no data" in [text.get_text() for text in figure.axes[3].texts]


@pytest.mark.full
def test_no_text_is_cut_off_or_covered(point, category_point, peak, badly_set_text):
    """Six scales of two families, in each of the figures."""
    points = [point(a, 0.5, s, family=f) for a in AXES for s in SCALES for f in ("molmo", "qwen25")]
    peaks = [peak(a, 0.5, s, family=f) for a in AXES for s in SCALES for f in ("molmo", "qwen25")]
    categories = [category_point(c, 0.3, s) for c in CATEGORIES for s in SCALES]

    assert badly_set_text(accuracy_trajectory(points)) == []
    assert badly_set_text(accuracy_trajectory(categories)) == []
    assert badly_set_text(peaks_over_scales(peaks[::2])) == []
    assert badly_set_text(ablation(points, peaks)) == []


def test_what_does_not_belong_in_one_figure_is_refused(point, peak):
    """Two metrics, two values for one mark, an unknown axis, or nothing."""
    two = [peak("vertical", 0.3), peak("distance", 0.3, metric="delta_norm")]
    with pytest.raises(
        UsageError, match="one metric of one subset, not axis_coherence of all, delta_norm of all"
    ):
        peaks_over_scales(two)
    with pytest.raises(UsageError, match="two values for tiny @ 80k, vertical"):
        peaks_over_scales([peak("vertical", 0.3), peak("vertical", 0.4)])
    with pytest.raises(UsageError, match="unknown axis 'left'"):
        ablation([point("vertical", 0.5)], [peak("left", 0.3)])
    with pytest.raises(UsageError, match="accuracy_trajectory: nothing to draw"):
        accuracy_trajectory([])
