"""Figures of ten scales and more: readable whatever their number, and below ten as they always were."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vlmprobe.analysis.results import SimilarityMatrix
from vlmprobe.figures import (
    accuracy_bars,
    accuracy_over_scales,
    category_validity_bars,
    layer_curves,
    peaks_over_scales,
    similarity_heatmap,
    vd_ei_over_layers,
)
from vlmprobe.pairs.axes import SPACE

AXES = tuple(map(str, SPACE))
#: Readable on a screen without scrolling for long.
HIGHEST = 13.0


def of_steps(make, n, *, family="tiny", known=True):
    """Return what ``make(i)`` gives, as of n scales in the order of training."""
    return [
        replace(made, family=family, scale=f"step-{i:03}", samples_seen=20_000 * (i + 1) if known else None)
        for i in range(n)
        for made in make(i)
    ]


def curves_of(curve, n, targets=AXES, metric="axis_coherence", **how):
    """Return rising curves of n scales."""
    return of_steps(
        lambda i: [curve(target, (0.1, 0.2 + 0.01 * i, 0.1), metric=metric) for target in targets], n, **how
    )


def bars_of(figure):
    """Return the labels beside a color bar, without empty ones."""
    (axes,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    return [tick.get_text() for tick in axes.get_yticklabels()], axes.get_ylabel()


def test_nine_scales_have_a_legend(curve, badly_set_text):
    """Each line is named, has its marks and its band."""
    figure = layer_curves(curves_of(curve, 9, ("vertical",)))

    assert [text.get_text() for text in figure.legends[0].get_texts()] == [f"step-{i:03}" for i in range(9)]
    assert len(figure.axes[0].collections) == 9
    assert badly_set_text(figure) == []


def test_ten_scales_have_a_color_bar(curve, badly_set_text):
    """Lines without bands, from light to dark; beside the bar are numbers of samples."""
    figure = layer_curves(curves_of(curve, 10))

    assert figure.legends == []
    labels, title = bars_of(figure)
    assert labels[0] == "20k"
    assert labels[-1] == "200k"
    assert title == "training samples seen (10 scales)"
    lines = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    assert [len(figure.axes[0].collections), len(lines)] == [0, 10]
    assert lines[0].get_color() != lines[9].get_color()
    assert badly_set_text(figure) == []


def test_scales_of_unknown_training_are_named_beside_the_bar(curve):
    """They stand in the order of their names."""
    labels, title = bars_of(layer_curves(curves_of(curve, 13, known=False)))

    assert labels[0] == "step-000"
    assert labels[-1] == "step-012"
    assert title == "scale, in the order of training (13 scales)"


def test_lines_tell_families_apart_beside_a_bar(curve, badly_set_text):
    """The color of a step is the same in both."""
    targets = ("vertical/distance", "horizontal/vertical", "horizontal/distance")
    both = [
        one
        for family in ("qwen25", "molmo")
        for one in curves_of(curve, 12, targets, "vd_ei.pooled", family=family)
    ]
    figure = vd_ei_over_layers(both)

    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["molmo", "qwen25"]
    assert len(targets) == len([axes for axes in figure.axes if axes.get_label() != "<colorbar>"])
    colors = {
        (line.get_label(), line.get_color()) for line in figure.axes[0].lines if "@" in line.get_label()
    }
    assert len({color for _, color in colors}) == 12
    assert badly_set_text(figure) == []


def test_a_value_between_gaps_is_seen_without_marks(curve):
    """A line of many has no marks but where it would show nothing."""
    nan = float("nan")
    lone = [replace(one, values=(nan, 0.2, nan)) for one in curves_of(curve, 10, ("vertical",))]
    figure = layer_curves(lone)

    assert [line.get_markevery() for line in figure.axes[0].lines if "@" in line.get_label()] == [[1]] * 10


@pytest.mark.parametrize("n", [12, 48])
def test_labels_that_would_touch_are_left_out(n, point, badly_set_text):
    """Of tick labels in one row the last stays, and as many before it as fit."""
    figure = accuracy_over_scales(of_steps(lambda _: [point(axis, 0.5) for axis in AXES], n))

    shown = [
        tick.label1.get_text() for tick in figure.axes[0].xaxis.get_major_ticks() if tick.label1.get_visible()
    ]
    assert shown[0] == "20k"
    assert shown[-1] == f"{20 * n}k"
    assert badly_set_text(figure) == []


@pytest.mark.full
@pytest.mark.parametrize("kind", ["bars", "validity", "heatmap", "peaks"])
def test_no_figure_of_a_hundred_scales_is_too_high(kind, point, category_point, peak):
    """And none has a panel of its own for each scale that takes more than a part of a row."""
    n = 100
    if kind == "bars":
        figure = accuracy_bars(of_steps(lambda _: [point(axis, 0.5) for axis in (*AXES, "overall")], n))
    elif kind == "validity":
        figure = category_validity_bars(
            of_steps(lambda _: [category_point(str(name), 0.5) for name in SPACE.categories], n)
        )
    elif kind == "peaks":
        figure = peaks_over_scales(of_steps(lambda _: [peak(axis, 0.5) for axis in AXES], n))
    else:
        figure = similarity_heatmap([matrix(f"step-{i:03}") for i in range(n)])

    assert figure.get_figheight() <= HIGHEST


def test_small_heatmaps_have_no_numbers(badly_set_text):
    """Ten panels in a grid; the names of the categories stand at its edges."""
    figure = similarity_heatmap([matrix(f"step-{i:03}") for i in range(10)])

    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>" and axes.axison]
    assert panels[0].get_title(loc="left") == "step-000\nlayer 3"
    assert [len(axes.texts) for axes in panels] == [0] * 10
    assert badly_set_text(figure) == []


def matrix(scale):
    """Return cosines of one scale."""
    side = len(SPACE.categories)
    return SimilarityMatrix(
        "tiny", scale, 3, "all", tuple(tuple(0.1 for _ in range(side)) for _ in range(side))
    )
