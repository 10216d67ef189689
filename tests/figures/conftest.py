"""Made-up results to draw, and a reader who notices text that is cut off or covered."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING
from unittest import mock

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from vlmprobe.analysis.results import AccuracyPoint, LayerCurve, PeakPoint, PointCloud

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

SCALES = {"vanilla": 0, "80k": 80_000, "400k": 400_000, "800k": 800_000, "2m": 2_000_000}


def make_curve(
    target: str,
    values: tuple[float, ...],
    scale: str = "80k",
    *,
    metric: str = "axis_coherence",
    subset: str = "all",
    family: str = "tiny",
) -> LayerCurve:
    """Return a curve whose band is 0.1 wide on both sides."""
    return LayerCurve(
        family=family,
        scale=scale,
        samples_seen=SCALES.get(scale),
        metric=metric,
        target=target,
        subset=subset,
        layers=tuple(range(len(values))),
        values=values,
        low=tuple(value - 0.1 for value in values),
        high=tuple(value + 0.1 for value in values),
        n=40,
    )


def make_point(axis: str, both: float, scale: str = "80k", *, family: str = "tiny") -> AccuracyPoint:
    """Return a point with bounds 0.05 below and above, within 0 and 1."""
    bounds = (max(0.0, both - 0.05), min(1.0, both + 0.05)) if math.isfinite(both) else (math.nan, math.nan)
    three = (both, *bounds)
    return AccuracyPoint(family, scale, SCALES.get(scale), axis, 40, *three, *three, *three)


def make_category_point(
    category: str, side: float, scale: str = "80k", *, family: str = "tiny"
) -> AccuracyPoint:
    """Return a point whose three accuracies are one number, with bounds 0.05 below and above."""
    three = (side, side - 0.05, side + 0.05)
    reliable = side >= 0.5 if math.isfinite(side) else None
    return AccuracyPoint(family, scale, SCALES.get(scale), category, 40, *three, *three, *three, reliable)


def make_peak(
    target: str,
    value: float,
    scale: str = "80k",
    *,
    layer: int | None = 3,
    metric: str = "axis_coherence",
    subset: str = "all",
    family: str = "tiny",
) -> PeakPoint:
    """Return a peak whose interval is 0.1 wide on both sides."""
    samples = SCALES.get(scale)
    return PeakPoint(
        family, scale, samples, metric, target, subset, layer, value, value - 0.1, value + 0.1, 40
    )


def make_cloud(
    labels: tuple[str, ...],
    *,
    components: int = 3,
    sides: tuple[str, ...] = (),
    scale: str = "80k",
    layer: int = 4,
) -> PointCloud:
    """Return points (0, 0, 0), (1, 10, 100), (2, 20, 200) and so on, one a label."""
    steps = np.array([1.0, 10.0, 100.0])[:components]
    points = np.arange(len(labels), dtype=np.float64)[:, None] * steps
    return PointCloud("tiny", scale, layer, "all", points, labels, (0.5, 0.25, math.nan)[:components], sides)


@pytest.fixture
def category_point() -> Callable[..., AccuracyPoint]:
    """Make a point of one category."""
    return make_category_point


@pytest.fixture
def peak() -> Callable[..., PeakPoint]:
    """Make a peak."""
    return make_peak


@pytest.fixture
def cloud() -> Callable[..., PointCloud]:
    """Make points on principal components."""
    return make_cloud


@pytest.fixture
def curve() -> Callable[..., LayerCurve]:
    """Make a curve."""
    return make_curve


@pytest.fixture
def point() -> Callable[..., AccuracyPoint]:
    """Make a point."""
    return make_point


@pytest.fixture(params=[6, 36], ids=["6 layers", "36 layers"])
def layers(request: pytest.FixtureRequest) -> int:
    """Count the decoder layers of a small and of a large model."""
    return int(request.param)


@pytest.fixture
def badly_set_text() -> Callable[[Figure], list[str]]:
    """Find what a reader could not read: text outside the figure, and text on top of other text."""

    def find(figure: Figure) -> list[str]:
        texts: list[Text] = []

        def record(text: Text, renderer: object, original: Callable[..., None] = Text.draw) -> None:
            if text.get_visible() and text.get_text().strip():
                texts.append(text)
            original(text, renderer)

        # Asking the figure for its texts would also give ticks that are out of view.
        with mock.patch.object(Text, "draw", record):
            FigureCanvasAgg(figure).draw()
        boxes = [(text.get_text(), text.get_rotation(), text.get_window_extent()) for text in texts]
        page = figure.bbox
        bad = [
            f"cut off: {text!r}"
            for text, _, box in boxes
            if box.x0 < page.x0 or box.y0 < page.y0 or box.x1 > page.x1 or box.y1 > page.y1
        ]
        for (one, turned, box), (other, other_turned, other_box) in itertools.combinations(boxes, 2):
            # The box around slanted text is larger than the text.
            if turned % 90 == 0 and other_turned % 90 == 0 and box.overlaps(other_box):
                bad.append(f"overlap: {one!r} and {other!r}")
        return bad

    return find


@pytest.fixture(autouse=True)
def _nothing_global() -> object:
    """No figure function opens a pyplot figure or changes a setting of matplotlib."""
    before = dict(mpl.rcParams)
    yield
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
