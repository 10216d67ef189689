"""The gallery: every metric has a figure or says why not, and every figure has one place."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from vlmprobe.analysis import CATALOG, LayerCurve, PeakPoint
from vlmprobe.pairs import SPACE
from vlmprobe.study.captions import LAST_LAYERS
from vlmprobe.study.gallery import _OWN, EXHIBITS, VARIANTS, View

SHOWN = {entry.name for exhibit in EXHIBITS for entry in exhibit.shows}


@pytest.mark.parametrize("name", CATALOG)
def test_a_metric_has_a_figure_or_says_why_not(name: str) -> None:
    """Not both, and not neither: then it would be stored and never seen."""
    assert (name in SHOWN) != bool(CATALOG[name].no_figure)


def test_no_two_figures_go_to_one_file() -> None:
    """Neither in the plots nor in the report."""
    files = [exhibit.file for exhibit in EXHIBITS]
    names = [shown.name for exhibit in EXHIBITS for shown in exhibit.report]
    assert len(set(files)) == len(files)
    assert len(set(names)) == len(names)


def test_both_perspective_metrics_are_in_the_report() -> None:
    """A run with boxes shows whether its distance axis is one of height in the image."""
    in_report = {entry.name for exhibit in EXHIBITS if exhibit.report for entry in exhibit.shows}
    assert {"axis_coherence.perspective", "perspective_cosine"} <= in_report


def test_the_report_shows_variants_that_there_are() -> None:
    """All pairs, or those with both answers right."""
    assert {shown.variant for exhibit in EXHIBITS for shown in exhibit.report} <= set(VARIANTS)


def test_every_figure_that_is_declared_is_shown() -> None:
    """Also a second one of a metric that has curves over layers."""
    declared = {exhibit.file for exhibits in _OWN.values() for exhibit in exhibits}
    assert declared <= {exhibit.file for exhibit in EXHIBITS}
    assert set(_OWN) <= set(CATALOG)


def test_every_figure_of_layers_says_that_the_last_may_hold_the_answer() -> None:
    """Also the heatmap, which may be of a late layer; a value without a band says that none is given, and why."""
    captions = {shown.name: shown.caption for exhibit in EXHIBITS for shown in exhibit.report}
    assert {name for name, caption in captions.items() if LAST_LAYERS not in caption} == {"accuracy"}
    assert captions["perspective_cosine"].count("need not cover, so none is given.") == 1


@pytest.mark.parametrize(("n_images", "is_drawn"), [(3, False), (9, False), (10, True), (None, True)])
def test_a_published_coherence_of_few_images_is_not_drawn(n_images: int | None, is_drawn: bool) -> None:
    """Three pairs may agree by chance. Without a count of images, that of the 80 vectors stands for it."""
    two = (0.6, 0.1)
    curve = LayerCurve(
        "tiny", "80k", 1, "axis_coherence", "vertical", "all", (0, 1), two, two, two, 80, n_images
    )
    peak = PeakPoint(
        "tiny", "80k", 1, "axis_coherence", "vertical", "all", 0, 0.6, None, None, 80, n_images=n_images
    )
    study: Any = SimpleNamespace(select=lambda *_, **__: [curve], peaks=[peak], axes=SPACE, unreliable={})
    files = "{variant}/compare/axis_coherence", "{variant}/compare/peak_coherence"
    drawn = [exhibit.arguments(View(study)) for exhibit in EXHIBITS if exhibit.file in files]
    assert list(map(bool, drawn)) == [is_drawn, is_drawn]


@pytest.mark.parametrize(
    ("metric", "target", "file"),
    [
        ("axis_coherence.balanced", "vertical", "axis_coherence_balanced"),
        ("vd_ei.corrected", "vertical/distance", "vd_ei_corrected"),
    ],
)
def test_coherence_and_vd_ei_have_the_band_of_their_own_controls(metric: str, target: str, file: str) -> None:
    """Of all pairs, across scales, in the report and among the plots, which share it; not in that of one scale."""
    two = (0.6, 0.1)
    curve = LayerCurve("tiny", "80k", 1, metric, target, "all", (0, 1), two, two, two, 80)
    control = replace(curve, values=(0.0, 0.0))
    other = replace(control, metric="another")
    study: Any = SimpleNamespace(
        select=lambda *_, **__: [curve], control_curves=[other, control], axes=SPACE, unreliable={}
    )
    (exhibit,) = (exhibit for exhibit in EXHIBITS if exhibit.file == f"{{variant}}/compare/{file}")
    assert exhibit.report
    arguments = exhibit.arguments(View(study))
    assert arguments["controls"] == [control]
    assert len(exhibit.function(**arguments).axes) >= 1
