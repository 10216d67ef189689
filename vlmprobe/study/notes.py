"""What a reader of a study must know before trusting a number, a line each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import AXIS_COHERENCE, CROSS_AXIS_ALIGNMENT_CANONICAL, PER_SAMPLE
from vlmprobe.pairs import Subset

if TYPE_CHECKING:
    from vlmprobe.analysis import LayerCurve
    from vlmprobe.store.answers_of_runs import UnnamedAnswers
    from vlmprobe.study.study import Study

__all__ = ["notes_of", "unnamed_line"]

#: Beyond this share of answers that name neither option, accuracy says little about what a model knows.
_MANY_UNNAMED = 0.2
#: Characters of an answer in a note.
_SHOWN = 60


def notes_of(study: Study) -> list[str]:
    """Return what a reader must know before trusting a number."""
    notes = [f"{run.family} @ {run.scale}: {note}" for run in study.runs for note in run.notes]
    notes += [
        f"{run.family} @ {run.scale}: {unnamed_line(study.unnamed[run.run_id])}"
        for run in study.runs
        if study.unnamed[run.run_id].n
    ]
    notes += [
        f"{point.family} @ {point.scale}: {point.target} is answered right in {point.acc_orig:.0%} of the original "
        f"and {point.acc_swap:.0%} of the swapped questions: one or both below 50 % in this sample (n = {point.n})"
        for point in study.categories
        if not point.reliable
    ]
    notes += [
        f"{curve.family} @ {curve.scale}: too few quads with all four answers right, so cross-axis alignment over "
        "both_correct is n/a there"
        for curve in _not_shown(study, CROSS_AXIS_ALIGNMENT_CANONICAL.name)
        if curve.target == PER_SAMPLE
    ]
    counted: dict[tuple[str, str], set[str]] = {}
    for curve in _not_shown(study, AXIS_COHERENCE.name):
        counted.setdefault((curve.family, curve.scale), set()).add(curve.target)
    notes += [
        f"{family} @ {scale}: too few pairs with both answers right in {', '.join(sorted(axes))}, "
        "so coherence over both_correct is n/a there"
        for (family, scale), axes in counted.items()
    ]
    notes += [
        f"{run.family} @ {run.scale}: {run.n_failed} pairs failed" for run in study.facts if run.n_failed
    ]
    return notes


def unnamed_line(found: UnnamedAnswers) -> str:
    """Say how many answers of a run name neither option; show some if they are more than a fifth."""
    line = f"{found.n} of {found.n_answers} answers name neither of their two options"
    if found.share <= _MANY_UNNAMED:
        return line
    examples = ", ".join(repr(text[:_SHOWN]) for text in found.examples)
    return f"{line}, so its accuracy means little; such as {examples}"


def _not_shown(study: Study, metric: str) -> list[LayerCurve]:
    """Return a metric's curves over ``both_correct`` that are NaN at every layer, or coherence of few images."""
    return [
        curve
        for curve in study.curves(metric, Subset.BOTH_CORRECT)
        if all(map(math.isnan, curve.values)) or (metric == AXIS_COHERENCE.name and not curve.has_images)
    ]
