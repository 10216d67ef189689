"""Reads what a report leads with, and corrects the p-values of its axes for their number."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from vlmprobe.analysis import catalog
from vlmprobe.analysis.axis_significance import smallest_p
from vlmprobe.analysis.controls import order_warning
from vlmprobe.analysis.inference import holm
from vlmprobe.pairs import DEPTH, HEIGHT, Subset
from vlmprobe.reports.findings import AxisFinding, Family, Findings, ScaleFindings
from vlmprobe.store.metrics import analyzed_runs
from vlmprobe.store.metrics_of_runs import last_layers, n_tested_layers, read_metrics_at
from vlmprobe.study.study import Study, most_coherent_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmprobe.analysis.catalog import Entry
    from vlmprobe.analysis.results import Metric
    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run

__all__ = ["findings_of", "runs_without_axis"]

_ALPHA = 0.05


def findings_of(study: Study, database: Database) -> Findings:
    """Collect the findings of a study's runs, of all pairs; the family is its axes times its scales."""
    layer_of = {
        run.run_id: most_coherent_layer(study.select(catalog.AXIS_COHERENCE.name, run=run), run)
        for run in study.runs
    }
    found = _read(study, database, layer_of)
    axes = list(map(str, study.axes))
    tests = [[each.of(catalog.AXIS_TEST, axis) for axis in axes] for each in found]
    p_values = [test.p_value if test is not None else None for row in tests for test in row]
    adjusted = holm(p_values)
    n_tested = sum(p is not None for p in adjusted)
    floors = [
        smallest_p(each.n_tested_layers(axis), len(found))
        for each, row in zip(found, tests, strict=True)
        for axis, test in zip(axes, row, strict=True)
        if test is not None and test.p_value is not None
    ]
    smallest, usual = min(floors, default=0.0), max(floors, default=0.0)
    family = Family(n_tested, len(axes), len(found), len(adjusted) - n_tested, smallest, usual)
    return Findings(
        [
            _of_scale(study, run, each, axes, adjusted[place * len(axes) : (place + 1) * len(axes)])
            for place, (run, each) in enumerate(zip(study.runs, found, strict=True))
        ],
        family,
    )


def runs_without_axis(database: Database, runs: Sequence[Run]) -> list[Run]:
    """Return the runs none of whose axes is there, after Holm's rule over the axes and scales of all of them.

    Args:
        database: where the metrics are.
        runs: one of each scale, on one dataset under one template; those without a test of any axis are not returned.
    """
    with database.transaction(write=False) as connection:
        analyzed = analyzed_runs(connection)
    tested = [run for run in runs if run.run_id in analyzed]
    if not tested:
        return []
    scales = findings_of(Study(database, tested), database).scales
    return [
        run
        for run, scale in zip(tested, scales, strict=True)
        if any(axis.p_value is not None for axis in scale.axes) and not scale.has_axis
    ]


#: What a report leads with.
_READ = (
    catalog.ACCURACY_PERSPECTIVE,
    catalog.CONSISTENT_SHARE,
    catalog.AXIS_TEST,
    catalog.AXIS_COHERENCE_BALANCED,
    catalog.AXIS_COHERENCE,
    catalog.AXIS_COHERENCE_SPLIT,
    catalog.ORDER_COHERENCE,
    catalog.VD_EI_CONSISTENT,
    catalog.VD_EI_COUNTER,
    catalog.VD_EI_EQUAL,
    catalog.VD_EI_GAP,
    catalog.VD_EI_CORRECTED,
    catalog.VD_EI_EXCESS,
    catalog.VD_EI_SPLIT,
    catalog.VD_EI_EQ3,
    catalog.VD_EI_POOLED,
)


def _read(study: Study, database: Database, layer_of: dict[str, int]) -> list[_Stored]:
    every, ids = str(Subset.ALL), list(layer_of)
    with database.transaction(write=False) as connection:
        metrics = read_metrics_at(connection, layer_of, [entry.name for entry in _READ], every)
        last = last_layers(connection, ids, every)
        tested = n_tested_layers(connection, ids, catalog.AXIS_COHERENCE_BALANCED.name, every)
    return [
        _Stored(
            metrics[run.run_id],
            layer_of[run.run_id],
            last.get(run.run_id),
            {axis: tested[run.run_id, axis] for run_id, axis in tested if run_id == run.run_id},
        )
        for run in study.runs
    ]


class _Stored:
    """The newest version of the metrics of a run, over all pairs: of the whole run, and of one layer."""

    def __init__(
        self, metrics: Iterable[Metric], layer: int, last_layer: int | None, n_tested: dict[str, int]
    ) -> None:
        self._by_key = {(metric.name, metric.target, metric.layer): metric for metric in metrics}
        self._n_tested, self.layer, self.last_layer = n_tested, layer, last_layer

    def n_tested_layers(self, axis: str) -> int:
        """Count the layers in which an axis was tested, at least one."""
        return max(1, self._n_tested.get(axis, 0))

    def of(self, entry: Entry, target: str, layer: int = -1) -> Metric | None:
        return self._by_key.get((entry.name, target, layer))


def _of_scale(
    study: Study, run: Run, stored: _Stored, axes: list[str], p_values: tuple[float | None, ...]
) -> ScaleFindings:
    layer = stored.layer
    consistent, counter, gap = (
        stored.of(catalog.ACCURACY_PERSPECTIVE, target)
        for target in catalog.ACCURACY_PERSPECTIVE.targets(study.axes)
    )
    share = stored.of(catalog.CONSISTENT_SHARE, DEPTH)
    entangled = f"{HEIGHT}/{DEPTH}"
    by_perspective = (
        stored.of(entry, entangled, layer)
        for entry in (
            catalog.VD_EI_CONSISTENT,
            catalog.VD_EI_COUNTER,
            catalog.VD_EI_EQUAL,
            catalog.VD_EI_GAP,
        )
    )
    angles, excess, splits = (
        [stored.of(entry, target, at) for target in entry.targets(study.axes)]
        for entry, at in (
            (catalog.VD_EI_CORRECTED, layer),
            (catalog.VD_EI_EXCESS, layer),
            (catalog.VD_EI_SPLIT, -1),
        )
    )
    tests = (stored.of(catalog.AXIS_TEST, axis) for axis in axes)
    methods = (test.method for test in tests if test is not None)
    plug_ins = (
        stored.of(entry, target, layer)
        for entry in (catalog.VD_EI_EQ3, catalog.VD_EI_POOLED)
        for target in entry.targets(study.axes)
    )
    return ScaleFindings(
        family=run.family,
        scale=run.scale,
        samples_seen=run.samples_seen,
        consistent=consistent,
        counter=counter,
        gap=gap,
        consistent_share=share.value if share is not None else None,
        layer=layer,
        axes=tuple(
            AxisFinding(
                axis,
                p_value,
                is_there=p_value is not None and p_value <= _ALPHA,
                coherence=stored.of(catalog.AXIS_COHERENCE_BALANCED, axis, layer),
                plug_in=stored.of(catalog.AXIS_COHERENCE, axis, layer),
                split=stored.of(catalog.AXIS_COHERENCE_SPLIT, axis),
                order=stored.of(catalog.ORDER_COHERENCE, axis, layer),
                order_warning=_order_warning(study, run, stored, axis),
            )
            for axis, p_value in zip(axes, p_values, strict=True)
        ),
        angles=tuple(metric for metric in angles if metric is not None),
        by_perspective=tuple(metric for metric in by_perspective if metric is not None),
        plug_ins=tuple(metric for metric in plug_ins if metric is not None),
        method=next(filter(None, methods), None),
        excess=tuple(metric for metric in excess if metric is not None),
        splits=tuple(metric for metric in splits if metric is not None),
        last_layer=stored.last_layer,
    )


def _order_warning(study: Study, run: Run, stored: _Stored, axis: str) -> str:
    """Warn of an order effect in the published coherence of an axis; empty where there is no reason to."""
    order = stored.of(catalog.ORDER_COHERENCE, axis, stored.layer)
    if order is None or not isfinite(order.value):
        return ""
    counts = {
        point.target: point.n
        for point in study.categories
        if (point.family, point.scale) == (run.family, run.scale)
    }
    canonical, opposite = (
        counts.get(str(each), 0) for each in next(a for a in study.axes if str(a) == axis).categories
    )
    return order_warning(order.value, [True] * canonical + [False] * opposite)
