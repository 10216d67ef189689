"""What a report leads with, read from a study's rows."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from vlmprobe.analysis import catalog
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs import SPACE
from vlmprobe.reports.findings import OF_STRATA
from vlmprobe.study.findings import findings_of, runs_without_axis

AXES = ("horizontal", "vertical", "distance")
WITHIN = "label permutation within strata of data_source"


def metric(
    entry: Any, target: str, value: float, *, layer: int = -1, p: float | None = None, subset: str = "all"
):
    """Return a row of the database."""
    return Metric(entry.name, entry.version, subset, target, layer, value, None, 80, p_value=p)


def _serve(monkeypatch: pytest.MonkeyPatch, stored: dict[str, list[Metric]]) -> None:
    """Answer what findings ask the database from these rows; ``test_many_runs`` tests the queries themselves."""

    def rows(run_id: str, subset: str) -> list[Metric]:
        return [row for row in stored[run_id] if row.subset == subset]

    def metrics(_: Any, layer_of: dict[str, int], names: list[str], subset: str) -> dict[str, list[Metric]]:
        return {
            run_id: [row for row in rows(run_id, subset) if row.name in names and row.layer in (-1, layer)]
            for run_id, layer in layer_of.items()
        }

    def tested(_: Any, run_ids: list[str], name: str, subset: str) -> dict[tuple[str, str], int]:
        shown = [
            (run_id, row.target)
            for run_id in run_ids
            for row in rows(run_id, subset)
            if row.name == name and row.p_value is not None
        ]
        return {key: shown.count(key) for key in shown}

    def last(_: Any, run_ids: list[str], subset: str) -> dict[str, int]:
        return {run_id: max(row.layer for row in rows(run_id, subset)) for run_id in run_ids}

    for name, answer in (("read_metrics_at", metrics), ("n_tested_layers", tested), ("last_layers", last)):
        monkeypatch.setattr(f"vlmprobe.study.findings.{name}", answer)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the findings of runs with these p-values of their three axes; ``database`` and ``runs`` stay with it."""

    def read(*p_values: tuple[float | None, ...], methods: tuple[str | None, ...] = ()) -> Any:
        stored = {
            str(number): [
                *(
                    metric(catalog.AXIS_TEST, axis, math.nan if p is None else p, p=p)
                    for axis, p in zip(AXES, row, strict=True)
                ),
                *(metric(catalog.AXIS_COHERENCE_BALANCED, axis, 0.5, layer=5, p=0.01) for axis in AXES),
                metric(catalog.AXIS_COHERENCE_BALANCED, "distance", 0.9, layer=4, p=0.01),
                metric(catalog.AXIS_COHERENCE_BALANCED, "distance", 0.9, layer=3),
                metric(catalog.AXIS_COHERENCE_BALANCED, "distance", 0.8, layer=5, subset="both_correct"),
                metric(catalog.CONSISTENT_SHARE, "distance", 0.88),
                metric(catalog.VD_EI_EXCESS, "horizontal/vertical", 0.2, layer=5),
                metric(catalog.VD_EI_EXCESS, "horizontal/vertical", 0.7, layer=4),
                metric(catalog.VD_EI_SPLIT, "vertical/distance", 0.3),
                metric(catalog.AXIS_COHERENCE_SPLIT, "distance", 0.4),
            ]
            for number, row in enumerate(p_values)
        }
        for rows, method in zip(stored.values(), methods, strict=False):
            rows[:3] = [replace(row, method=method) for row in rows[:3]]
        runs = [
            SimpleNamespace(run_id=run_id, family="tiny", scale=run_id, samples_seen=0, n_layers=6)
            for run_id in stored
        ]
        study: Any = SimpleNamespace(runs=runs, axes=SPACE, select=lambda *_, **__: [])
        database: Any = SimpleNamespace(transaction=lambda **_: nullcontext())
        _serve(monkeypatch, stored)
        read.study, read.database = study, database  # type: ignore[attr-defined]
        return findings_of(study, database)

    return read


def test_p_values_are_corrected_for_all_axes_and_scales(found: Any) -> None:
    """Refutes: .02 of one test among six counts as an axis."""
    findings = found((0.001, 0.02, 0.9), (0.004, 0.03, 0.8))
    adjusted = [axis.p_value for scale in findings.scales for axis in scale.axes]
    assert adjusted == pytest.approx([0.006, 0.08, 1.0, 0.02, 0.09, 1.0])
    assert [axis.is_there for scale in findings.scales for axis in scale.axes] == [
        *(True, False, False),
        *(True, False, False),
    ]
    assert str(findings.family) == "Holm over 6 tests: 3 axes x 2 scales"


def test_runs_without_an_axis_are_those_with_none_after_the_correction(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refutes: .02 of one test among six counts; a run that nobody tested, or analyzed, has no axis."""
    found((0.001, 0.02, 0.9), (0.02, 0.03, 0.8), (None, None, None), (0.9, 0.9, 0.9))
    monkeypatch.setattr("vlmprobe.study.findings.analyzed_runs", lambda _: {"0", "1", "2"})

    def study(_: Any, runs: list[Any]) -> Any:
        return SimpleNamespace(runs=runs, axes=SPACE, select=lambda *_, **__: [])

    monkeypatch.setattr("vlmprobe.study.findings.Study", study)
    runs = found.study.runs
    assert [run.scale for run in runs_without_axis(found.database, runs)] == ["1"]
    assert runs_without_axis(found.database, runs[3:]) == []


def test_an_axis_without_a_test_is_none_and_not_in_the_family(found: Any) -> None:
    """Too few images: not tested, which is not the same as no axis."""
    findings = found((0.01, None, 0.02))
    (scale,) = findings.scales
    assert [axis.p_value for axis in scale.axes] == [pytest.approx(0.02), None, pytest.approx(0.02)]
    assert [axis.is_there for axis in scale.axes] == [True, False, True]
    assert not scale.resolves("vertical/distance")
    assert scale.resolves("horizontal/distance")
    assert str(findings.family) == "Holm over 2 tests: 3 axes x 1 scale, 1 of them not tested"


def test_numbers_are_of_all_pairs_at_one_layer(found: Any) -> None:
    """Not of another layer or of another subset; what a run lacks is None."""
    (scale,) = found((0.01, 0.01, 0.01)).scales
    assert (scale.layer, scale.axes[2].coherence.value) == (5, 0.5)
    assert (scale.consistent_share, scale.gap, scale.angles) == (0.88, None, ())


@pytest.mark.parametrize(
    ("methods", "note"),
    [
        (("label permutation", None), None),
        ((WITHIN, WITHIN), f"Axes were tested by {WITHIN}. {OF_STRATA}"),
        (
            (WITHIN, "label permutation"),
            f"Axes were not tested alike: tiny @ 0 by {WITHIN}; tiny @ 1 by label permutation. "
            f"Analyze all with the same --strata before you compare them. {OF_STRATA}",
        ),
    ],
)
def test_what_labels_were_permuted_within_is_noted(
    found: Any, methods: tuple[str | None, ...], note: str | None
) -> None:
    """With what it does not change; not where they were exchanged among all images."""
    findings = found((0.01, 0.02, 0.9), (None, 0.01, 0.8), methods=methods)
    assert findings.method_note == note


def test_excess_is_of_the_layer_and_split_values_are_of_the_run(found: Any) -> None:
    """The last stored layer is known, so that a reading there can be flagged; p has a floor."""
    findings = found((0.01, 0.01, 0.01))
    (scale,) = findings.scales
    assert [each.value for each in scale.excess] == [0.2]
    assert [each.value for each in scale.splits] == [0.3]
    assert [axis.split and axis.split.value for axis in scale.axes] == [None, None, 0.4]
    assert (scale.last_layer, scale.is_late) == (5, True)
    # One layer of two axes was tested, two layers of the third.
    floors = findings.family.floor, findings.family.usual_floor
    assert floors == pytest.approx((3 / 3001, 3 * 2 / 3001))
