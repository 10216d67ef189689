"""The gallery: every metric has a figure or says why not, and every figure has one place."""

from __future__ import annotations

import pytest

from vlmprobe.analysis import CATALOG
from vlmprobe.study.gallery import _OWN, EXHIBITS, VARIANTS

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
