"""Compares each scale of a family with each more trained one, for the report."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import (
    ACCURACIES,
    AXIS_COHERENCE_BALANCED,
    DELTA_ACCURACY,
    DELTA_COHERENCE,
    DELTA_VD_EI_SIZE,
    VD_EI_CORRECTED,
)
from vlmprobe.analysis.difference import averaged, with_holm
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.inference import effective_wilson
from vlmprobe.analysis.trainings import over_trainings
from vlmprobe.errors import VlmprobeError
from vlmprobe.reports.matrix import OfTrainings, ScaleMatrix
from vlmprobe.study.comparison import runs_of_trainings
from vlmprobe.study.paired_runs import PairedRuns
from vlmprobe.study.subjects import subjects_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.analysis.inference import Estimate
    from vlmprobe.store.runs import Run
    from vlmprobe.study.subjects import Subject
    from vlmprobe.workspace import Workspace

__all__ = ["scale_matrices"]

#: Scales of a matrix. The cells of a hundred are 4,950, and Holm's rule over so many tests leaves none resolved.
_MOST = 9


def scale_matrices(workspace: Workspace, runs: Sequence[Run]) -> list[ScaleMatrix]:
    """Return the matrix of each family that has several scales of known training.

    Args:
        workspace: the home.
        runs: the newest of each scale, on one dataset under one template, by family and amount of training.
    """
    found = []
    for family in dict.fromkeys(run.family for run in runs):
        known = [run for run in runs if run.family == family and run.samples_seen is not None]
        subjects = subjects_of(known)
        shown = _spread(subjects)
        if not subjects or (len(subjects) < 2 and len(subjects[0].trainings) < 2):
            continue
        try:
            found.append(_matrix(workspace, family, shown, n_scales=len(subjects)))
        except VlmprobeError as error:
            # The rest of a report needs no states, and no pair that all scales answered.
            workspace.console.warn(f"no matrix of the scales of {family}: {error}")
    return found


def _spread(subjects: Sequence[Subject]) -> list[Subject]:
    """Return all of few scales; of many, as many as can be read, evenly spread, with the first and the last."""
    if len(subjects) <= _MOST:
        return list(subjects)
    last = len(subjects) - 1
    return [subjects[round(step * last / (_MOST - 1))] for step in range(_MOST)]


def _matrix(workspace: Workspace, family: str, subjects: Sequence[Subject], *, n_scales: int) -> ScaleMatrix:
    labels, runs_of = runs_of_trainings(subjects)
    paired = PairedRuns(workspace, [run for runs in runs_of for run in runs])
    axes = list(map(str, paired.axes))
    wanted = {(entry, axis) for entry in (DELTA_ACCURACY, DELTA_COHERENCE) for axis in axes}
    # Without its controls, which no claim is about.
    wanted |= {(DELTA_VD_EI_SIZE, "/".join(both)) for both in axis_pairs(paired.axes)[:1]}
    cells = []
    for first, second in combinations(range(len(subjects)), 2):
        both = zip(runs_of[first], runs_of[second], strict=True)
        rows = averaged([paired.differences(before, after, cosines=False) for before, after in both])
        names = subjects[first].name, subjects[second].name
        cells += [(*names, row) for row in rows if (row.entry, row.target) in wanted]
    corrected = with_holm([row for _, _, row in cells])
    return ScaleMatrix(
        family,
        tuple(each.name for each in subjects),
        tuple((before, after, row) for (before, after, _), row in zip(cells, corrected, strict=True)),
        n_pairs=len(paired.pairs.pair_ids),
        left_out=paired.left_out,
        layer_choice=paired.layers.choice,
        n_trainings=len(labels),
        n_scales=n_scales,
        of_trainings=tuple(
            row
            for subject, runs in zip(subjects, runs_of, strict=True)
            if len(runs) > 1
            for row in _over_trainings(paired, subject.name, runs)
        ),
    )


def _over_trainings(paired: PairedRuns, scale: str, runs: Sequence[Run]) -> Iterator[OfTrainings]:
    readings = [list(_estimates(paired, run)) for run in runs]
    for rows in zip(*readings, strict=True):
        metric, target, _ = rows[0]
        yield OfTrainings(scale, metric, target, over_trainings([estimate for _, _, estimate in rows]))


def _estimates(paired: PairedRuns, run: Run) -> Iterator[tuple[str, str, Estimate]]:
    """Yield accuracy and coherence by axis, and VD-EI with its controls."""
    images = np.array(paired.pairs.images, dtype=np.str_)
    for target, inside in paired.pairs.groups().items():
        right = effective_wilson(paired.right[run.run_id][inside], images[inside].tolist())
        yield ACCURACIES["both"].name, target, right
    if not paired.has_states:
        return
    geometry = paired.geometry(run)
    for entry, values in (
        (AXIS_COHERENCE_BALANCED, geometry.coherence),
        (VD_EI_CORRECTED, geometry.angles),
    ):
        for target, statistic in values.items():
            yield entry.name, target, statistic.estimate()
