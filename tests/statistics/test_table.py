"""No number without a row: what a run's analysis prints with an interval or a p-value has been simulated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from vlmprobe.analysis.catalog import (
    ACCURACY_PERSPECTIVE,
    AXIS_COHERENCE_BALANCED,
    AXIS_COSINE,
    AXIS_TEST,
    COMPARISONS,
    CROSS_AXIS_ALIGNMENT_CANONICAL,
    CROSS_AXIS_ALIGNMENT_PUBLISHED,
    DELTA_ABOVE_CONTROL,
    ROBUSTNESS,
)
from vlmprobe.analysis.entries import Interval
from vlmprobe.pairs import SPACE
from vlmprobe.store.arrays import Quads
from vlmprobe.study.run_metrics import run_metrics

from .demo_world import AXES, PAIRS
from .outcomes import BIAS, COVERAGE, FALSE_ALARMS, FALSE_AXES, FALSE_POSITIVES
from .tables import read_table
from .worlds import SwapWorld

TABLE = Path(__file__).resolve().parents[2] / "docs" / "results" / "statistics"
ALIGNMENTS = CROSS_AXIS_ALIGNMENT_CANONICAL.name, CROSS_AXIS_ALIGNMENT_PUBLISHED.name
GAP = "gap"


@dataclass
class Study:
    """A run with clear axes, boxes and quads, as ``run_metrics`` reads one; an image a pair."""

    deltas: np.ndarray
    categories: list[str]
    axes: list[str] = field(init=False)
    layers = (3, 4)
    layer_bytes = 2**20
    axis_set = SPACE

    def __post_init__(self):
        n = len(self.categories)
        self.axes = [str(SPACE.category(name).axis) for name in self.categories]
        self.images, self.pair_ids = [f"image {i}" for i in range(n)], [str(i) for i in range(n)]
        self.perspectives = [
            ("consistent" if i % 2 else "counter") if axis == "distance" else None
            for i, axis in enumerate(self.axes)
        ]
        self.both_correct = np.ones(n, dtype=bool)
        self.vertical = np.flatnonzero(np.array(self.axes) == "vertical")
        self.distance = np.flatnonzero(np.array(self.axes) == "distance")
        self.quads = Quads(
            ids=tuple(str(i) for i in self.distance),
            vertical_ids=None,
            vertical_categories=tuple(self.categories[i] for i in self.vertical),
            distance_categories=tuple(self.categories[i] for i in self.distance),
            images=tuple(f"image {i}" for i in self.distance),
            both_correct=np.ones(len(self.distance), dtype=bool),
        )

    def layer(self, layer):
        """Return states whose deltas are those of the study."""
        orig = np.random.default_rng(layer).normal(size=self.deltas.shape)
        return np.stack([orig, orig + self.deltas], axis=1).astype(np.float32)

    def quad_deltas(self, _):
        """Return the deltas of the pairs that make the quads."""
        return self.deltas[self.vertical], self.deltas[self.distance]


def printed():
    """Compute a study; return the estimators of its intervals, of its p-values, and of what has no interval."""
    sample = SwapWorld(pairs=200, coherence=(0.2, 0.2, 0.2)).sample(np.random.default_rng(0))
    study = Study(sample.deltas, [str(SPACE.categories[code]) for code in sample.codes])
    metrics, _ = run_metrics(study, lambda _: None)
    intervals, tests, biased = set(), set(), set()
    for metric in metrics:
        statistic = metric.target.partition("/")[0]
        name = f"{metric.name} ({statistic})" if metric.name in ALIGNMENTS else metric.name
        if metric.ci_low is not None:
            intervals.add(name)
        if metric.p_value is not None and metric.name != AXIS_TEST.name:
            tests.add(name)
        if metric.method == Interval.NOT_COVERING.value:
            biased.add(name)
    return intervals, tests, biased


def studied(measure):
    """Return the estimators that have rows of a measure."""
    return {row["estimator"] for row in read_table(TABLE) if row["measure"] == measure}


def test_every_interval_has_a_row_of_coverage():
    """Of a run's metrics, of its accuracies, of a comparison and of what ``robustness`` prints."""
    intervals, _, _ = printed()
    assert len(intervals) >= 18
    assert intervals - studied(COVERAGE) == set()
    assert set(COMPARISONS) - studied(COVERAGE) == set()
    of_robustness = {
        name for name, entry in ROBUSTNESS.items() if entry.interval is not Interval.NOT_COVERING
    }
    assert len(of_robustness) == 16
    assert of_robustness - studied(COVERAGE) == set()
    # Of ``export directions``.
    assert "sign_accuracy" in studied(COVERAGE)
    # The three accuracies are one estimator, as are the two of the perspectives.
    assert {"accuracy", f"{ACCURACY_PERSPECTIVE.name} ({GAP})"} <= studied(COVERAGE)


def test_every_p_value_has_a_row_of_false_positives():
    """Of a layer alone, over layers, of an axis that must be resolved too, and of differences."""
    _, tests, _ = printed()
    assert len(tests) >= 5
    assert tests - studied(FALSE_POSITIVES) == set()
    assert f"{AXIS_COHERENCE_BALANCED.name} (over layers)" in studied(FALSE_POSITIVES)
    assert {"axis", "axis (over layers)"} <= studied(FALSE_AXES)
    with_p = set(COMPARISONS) - {AXIS_COSINE.name, DELTA_ABOVE_CONTROL.name}
    assert with_p - studied(FALSE_POSITIVES) == set()


def test_what_controls_and_checks_of_a_benchmark_say_has_rows():
    """The squared length that a control leaves, whether an axis is left, and alarms of a benchmark without a leak."""
    assert {"|alpha|^2", "size_left"} <= studied(COVERAGE)
    assert "adds_an_axis" in studied(FALSE_AXES)
    assert studied(FALSE_ALARMS) == {"leaks, all checks together"}


def test_published_values_without_an_interval_have_a_row_of_bias():
    """Where an image has one pair, those that noise alone biases."""
    _, _, biased = printed()
    assert {"vd_ei.eq3", "vd_ei.pooled", "delta_similarity"} <= biased
    assert biased - studied(BIAS) == set()


QUOTED = [
    # The sentence of docs/metrics.md, the estimator, what worlds are called, and the column.
    ("covers {} to {} of the true shares", "accuracy", "", "rate"),
    ("it covers {} to {}. NULL where either\nshare", "accuracy.perspective (gap)", "", "rate"),
    ("its interval covers {} to {}. `vd_ei.split`", "axis_coherence.split", "layers alike", "rate"),
    ("too\nhigh by {} to {} and covers", "vd_ei.split", "layers alike", "bias"),
    ("and covers {} to {}. Over the demo's", "vd_ei.split", "layers alike", "rate"),
    ("the two cover {} to {} and", "axis_coherence.split", "demo", "rate"),
    ("and {} to {}. A split value", "vd_ei.split", "demo", "rate"),
    ("by {} to {} (median) over 36", "axis_coherence.balanced.peak", "36 layers", "bias"),
    ("selectivity held it in {} to {}\n", "probe.control, probe.selectivity", "object-disjoint", "rate"),
]


def _without_target(estimator):
    """Return the estimator of a row, which may be of one axis or angle of it."""
    name, _, target = estimator.removesuffix(")").partition(" (")
    return name if target in {*AXES, *PAIRS} else estimator


@pytest.mark.parametrize(("sentence", "estimators", "world", "column"), QUOTED)
def test_ranges_in_the_documentation_are_those_of_the_table(sentence, estimators, world, column):
    """The lowest and the highest of the worlds in which an estimator was printed."""
    values = [
        float(row[column])
        for row in read_table(TABLE)
        if (_without_target(row["estimator"]) in estimators.split(", ") and row["measure"] == COVERAGE)
        and (world in row["world"] and row["rate"])
    ]
    shown = (f"{each:.3f}".removeprefix("0") for each in (min(values), max(values)))
    assert sentence.format(*shown) in (TABLE.parents[1] / "metrics.md").read_text(encoding="utf-8")


def test_the_committed_table_is_whole_and_nothing_in_it_fails():
    """It is written by ``make statistics``, not by a look at a share of the studies."""
    rows = read_table(TABLE)
    assert {row["verdict"] for row in rows} <= {"", "ok", "borderline", "conservative", "limit"}
    assert "This is a look" not in (TABLE / "README.md").read_text(encoding="utf-8")
    assert min(int(row["studies"]) for row in rows if row["measure"] == COVERAGE) >= 300
