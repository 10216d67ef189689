"""A small report: two scales, one of them with no answered pair on distance."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import pytest

from vlmprobe.analysis.results import AccuracyPoint, PeakPoint
from vlmprobe.pairs import SPACE
from vlmprobe.reports import DatasetFacts, Report, ReportFigure, RunFacts

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = math.nan


def accuracy(scale: str, samples: int | None, axis: str, n: int, both: float, low: float, high: float):
    """Return a point whose single questions are as often right as both."""
    three = (both, low, high)
    return AccuracyPoint("tiny", scale, samples, axis, n, *three, *three, *three)


def peak(scale: str, samples: int | None, *numbers: float | None) -> PeakPoint:
    """Return the peak of the distance axis: its layer, value, n, and the split reading with its bounds."""
    layer, value, n, *split = numbers
    where = ("axis_coherence", "distance", "all", layer, value, None, None, n)
    return PeakPoint("tiny", scale, samples, *where, f"run-{scale}", *split)


def run(scale: str, samples: int | None) -> RunFacts:
    """Return a complete run."""
    return RunFacts(
        run_id=f"run-{scale}",
        family="tiny",
        scale=scale,
        samples_seen=samples,
        global_steps=samples,
        checkpoint=f"checkpoints/{scale}",
        fingerprint="0f" * 8,
        n_pairs=32,
        n_failed=0,
        status="complete",
        dtype="float32",
        device="cpu",
        peak_layers={"vertical": (3, 0.5)},
    )


@pytest.fixture
def report() -> Callable[..., Report]:
    """Make the report, with any fields replaced."""
    plain = Report(
        title="Scales of tiny",
        created="2026-11-03 12:00 UTC",
        dataset=DatasetFacts("demo", "demo.tsv", "d" * 8, n_pairs=32, n_problems=0, template="plain"),
        runs=[run("vanilla", 0), run("2m", 2_000_000)],
        axes=SPACE,
        accuracy=[
            accuracy("vanilla", 0, "vertical", 32, 0.03125, 0.0055, 0.1575),
            accuracy("vanilla", 0, "distance", 0, NAN, NAN, NAN),
            accuracy("2m", 2_000_000, "vertical", 32, 0.875, 0.7193, 0.9503),
            accuracy("2m", 2_000_000, "distance", 32, 2 / 3, 0.5, 0.8),
        ],
        peaks=[
            peak("vanilla", 0, None, NAN, 0, None, None, None),
            peak("2m", 2_000_000, 4, 0.1 + 0.2, 32, 0.3, 0.25, 0.35),
        ],
        figures=[ReportFigure("coherence", "Axis coherence", "High: deltas point one way.", b"\x89PNG fake")],
        disagreements=0,
        queries={"Accuracy by scale": "SELECT scale, round(acc_both, 4) FROM accuracy"},
        provenance={"database": "vlmprobe.duckdb"},
    )

    def make(**fields: object) -> Report:
        return dataclasses.replace(plain, **fields)

    return make
