"""Compares scales, and averages over their trainings: puts the rows of a comparison together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import DELTA_COHERENCE, DELTA_VD_EI
from vlmprobe.analysis.difference import averaged, with_holm
from vlmprobe.reports.comparison import Compared, Comparison
from vlmprobe.study.above_controls import PairedControls
from vlmprobe.study.paired_runs import PairedRuns
from vlmprobe.study.subjects import common_trainings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.difference import Difference
    from vlmprobe.store.runs import Run
    from vlmprobe.study.subjects import Subject
    from vlmprobe.workspace import Workspace

__all__ = ["compare_subjects", "runs_of_trainings"]


def compare_subjects(
    workspace: Workspace, subjects: Sequence[Subject], *, layer: int | None = None, trend: bool = False
) -> Comparison:
    """Compare each subject with the next, and the first with the last where there are more than two.

    Args:
        workspace: the home.
        subjects: at least two, on one dataset under one template.
        layer: whose geometry is compared; None = see :class:`PairedRuns`.
        trend: whether slopes over the subjects are computed; for at least three of known training.

    Raises:
        UsageError: the subjects have no training or pair in common, or a run lacks the layer.
    """
    labels, runs_of = runs_of_trainings(subjects)
    paired = PairedRuns(workspace, [run for runs in runs_of for run in runs], layer)
    controls = PairedControls(workspace, paired)
    places = [(place, place + 1) for place in range(len(subjects) - 1)]
    if len(subjects) > 2:
        places.append((0, len(subjects) - 1))
    parts = []
    for first, last in places:
        both = list(zip(labels, runs_of[first], runs_of[last], strict=True))
        kinds = controls.common([run for _, *runs in both for run in runs])
        rows = averaged(
            [
                _with_controls(paired.differences(before, after), controls.differences(before, after, kinds))
                for _, before, after in both
            ]
        )
        changed = [
            pair
            for label, before, after in both
            for pair in paired.changed(before, after, label if len(labels) > 1 else "")
        ]
        layer_text = paired.layer_text(both[0][1], both[0][2])
        parts.append(
            Compared(subjects[first].name, subjects[last].name, layer_text, tuple(rows), tuple(changed))
        )
    slopes = _slopes(paired, subjects, runs_of) if trend else None
    every = [*parts, slopes] if slopes else parts
    corrected = iter(with_holm([row for part in every for row in part.rows]))
    every = [replace(part, rows=tuple(next(corrected) for _ in part.rows)) for part in every]
    run = runs_of[0][0]
    names = ", ".join(each.name for each in subjects)
    return Comparison(
        title=f"{names} on {run.dataset} ({run.template})",
        compared=tuple(every[: len(parts)]),
        trend=every[-1] if slopes else None,
        n_pairs=len(paired.pairs.pair_ids),
        n_images=len(set(paired.pairs.images)),
        left_out=paired.left_out,
        layer_choice=paired.layers.choice,
        trainings=labels,
        lacking=tuple(controls.lacking()),
    )


def _with_controls(rows: Sequence[Difference], above: Sequence[Difference]) -> list[Difference]:
    """Put what the controls have right after the coherence of each axis, and after VD-EI."""
    found = []
    for row in rows:
        found.append(row)
        if row.entry in {DELTA_COHERENCE, DELTA_VD_EI}:
            found += [each for each in above if each.target == row.target]
    return found


def _slopes(
    paired: PairedRuns, subjects: Sequence[Subject], runs_of: Sequence[Sequence[Run]]
) -> Compared | None:
    amounts = [each.samples_seen for each in subjects if each.samples_seen is not None]
    if len(amounts) < len(subjects) or len(set(amounts)) < 3:
        return None
    rows = averaged([paired.trend(runs, amounts) for runs in zip(*runs_of, strict=True)])
    layer = paired.layer_text(runs_of[0][0], runs_of[-1][0])
    return Compared(subjects[0].name, subjects[-1].name, layer, tuple(rows))


def runs_of_trainings(subjects: Sequence[Subject]) -> tuple[tuple[str, ...], list[list[Run]]]:
    """Return the labels that all subjects have, and of each subject its runs in that order.

    Raises:
        UsageError: they have several trainings, and none in common.
    """
    labels = common_trainings(subjects)
    if labels == ("",):
        return labels, [[each.trainings.get("") or next(iter(each.trainings.values()))] for each in subjects]
    return labels, [[each.trainings[label] for label in labels] for each in subjects]
