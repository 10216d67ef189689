"""Is it space? Six rules, in order, of one axis in one layer. The first that does not hold gives the verdict.

1. There is an axis: Holm's p of the smallest p-value over layers is at most .05, and |alpha|^2 is resolved.
2. More than in the blind controls: |alpha(real - blind)|^2 is resolved, where vectors are subtracted pair by pair.
3. More than the answer's words: |alpha|^2 of the space half of two counterbalanced templates is resolved. What lies
   along the word's axis is taken out of every half first, since no second template reverses a word quite. Where the
   word half is not resolved either, the axis is not one of the answer's words, but open.
4. It follows the picture: |alpha|^2 of the deltas of exchanged pictures is resolved, and so is that of what is left of
   them after Null 1, the same exchange under a question about another axis.
5. It is one axis: the cosine of the space half and of the scene half less Null 1 lies above .2. Where deltas fill few
   dimensions two random directions are often as alike; the verdict's note then says so.
6. It is part of the run's own axis: the inner product of that axis and of the scene half less Null 1 is resolved. Rules
   3 to 5 are about yes/no questions, and what both of these share may be a trace of the answer that no other question
   has.

"Resolved" is always that the lower 97.5 % jackknife bound of products of different images is above 0. That a control
has no significant axis of its own is no rule: in a world of answer words alone it is wrong in 94 % of studies. A rule
that does not hold need not have been shown to be false: only lower bounds are asked. The verdict says what has been
shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls.chance import chance_cosine
from vlmprobe.analysis.controls.deltas import Counterbalanced, sums_of_asked, sums_of_both, without_axis
from vlmprobe.analysis.geometry import Layout, axis_effect, axis_size, corrected_cosine, inner_product

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.inference import Statistic

__all__ = ["SAME_AXIS", "VERSION", "Evidence", "Origin", "Row", "Verdict", "verdict"]

#: Of the rule; raised when it changes, so that old and new verdicts are told apart.
VERSION = 2
#: What the cosine of rule 5 must lie above. Two directions that share little are no one axis,
#: though so many pairs may tell their cosine from 0.
SAME_AXIS = 0.2
_ALPHA = 0.05

_RUN_BLIND = "run the same questions with a gray picture or with another pair's (blind)"
_RUN_ANSWERS = "run the templates yes-no and yes-no-opposite on the same pairs"
_RUN_NULL_1 = "run the exchanged pictures with a question about another axis (Null 1)"
_NOT_TESTED = "the axis could not be tested over layers: it has no pairs, or too few"
#: Of the random directions.
_SEED = 0
BY_CHANCE = "the bound of the cosine is no higher than two random directions of these deltas reach in 1 of 20"
ONE_BLIND = "held against one blind control alone"
NO_EXCHANGE = "there are no exchanged pictures for this axis"


class Origin(StrEnum):
    """What has been shown of an axis."""

    NO_AXIS = "no axis"
    CONTROLS = "axis, but also in the controls"
    ANSWER = "axis, of the answer's words"
    OPEN = "axis, origin open"
    SCENE = "axis of the scene"
    NONE = "no verdict"


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Deltas of one axis's N pairs in one layer, as they are (not sign-corrected), under all that was run."""

    real: npt.NDArray[Any]
    """(N, D)."""
    canonical: Sequence[bool] | BoolArray
    """(N,) whether the pair is of the canonical category."""
    images: Sequence[str]
    """N names of images, or of what else belongs together, such as the objects of two exchanged pictures."""
    blind: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """Name of a control -> (N, D) deltas of the same model and questions, where the picture does not help."""
    answers: Counterbalanced | None = None
    """The two yes/no templates."""
    scene: Counterbalanced | None = None
    """h(exchanged picture) - h(picture), the question held fixed, in both templates: the answer's word cancels."""
    null_1: Counterbalanced | None = None
    """The same exchange under a question about another axis, with the category of this one."""
    null_3: Counterbalanced | None = None
    """The same exchange as ``scene``, of the architecture with random weights. No rule rests on it."""

    def without_word(self, half: Counterbalanced, less: FloatArray | float = 0.0) -> FloatArray:
        """Return (N, D) the space half of two templates, less others, less what lies along its word's axis."""
        return without_axis(half.space - less, half.word, self.canonical)


@dataclass(frozen=True, slots=True)
class Row:
    """One condition of a rule."""

    rule: int
    statistic: str
    value: float | None
    """Of a p-value itself; else of a product of different images, in the squared unit of the states, or a cosine."""
    low: float | None
    """Lower 97.5 % jackknife bound; None for a p-value."""
    limit: float
    """What ``low`` must lie above; of a p-value, what it may be at most."""
    holds: bool | None
    """None = cannot be said."""
    n_images: int | None = None
    reason: str = ""
    """Why it cannot be said."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has been shown of one axis, with the conditions that were looked at, the last of which decided."""

    origin: Origin
    rows: tuple[Row, ...]
    controls: tuple[str, ...] = ()
    """In which controls the axis is as well."""
    missing: str = ""
    """What to run, or why else there is no verdict."""
    note: str = ""
    """What a reader must know of it."""
    version: int = VERSION

    def __str__(self) -> str:
        """Say it in a line."""
        if self.origin is Origin.CONTROLS:
            return f"{self.origin} ({', '.join(self.controls)})"
        return f"{self.origin}: {self.missing}" if self.missing else str(self.origin)


def verdict(evidence: Evidence, p_axis: float | None) -> Verdict:
    """Apply the rules to one axis in one layer.

    Args:
        evidence: of this layer.
        p_axis: Holm's p of the axis (``axis_test``), over all axes, scales and subsets that are looked at together;
            None if it could not be tested.

    Returns:
        ``Origin.NONE`` where a control that the next rule needs is missing, or has too few images for a bound. Without
        exchanged pictures an axis that passes rules 1 to 3 is one of open origin.

    Raises:
        ValueError: arrays differ in shape, or a delta is not finite.
    """
    rows: list[Row] = []
    for step in _Rules(evidence, p_axis).steps():
        if isinstance(step, _End):
            return _noted(Verdict(step.origin, tuple(rows), missing=step.missing, note=step.note), evidence)
        found, otherwise = step
        rows += found
        unknown = [row for row in found if row.holds is None]
        if unknown:
            return Verdict(Origin.NONE, tuple(rows), missing=unknown[0].reason)
        if not all(row.holds for row in found):
            named: tuple[str, ...] = ()
            if otherwise is Origin.CONTROLS:
                pairs = zip(evidence.blind, found, strict=True)
                named = tuple(name for name, row in pairs if not row.holds)
            return _noted(Verdict(otherwise, tuple(rows), named), evidence)
    raise AssertionError("the rules end with a verdict")  # pragma: no cover


def _noted(found: Verdict, evidence: Evidence) -> Verdict:
    """Say where rule 2 was passed against one kind of blind control alone."""
    if len(evidence.blind) != 1 or found.rows[-1].rule < 3:
        return found
    (kind,) = evidence.blind
    note = f"{ONE_BLIND} ({kind})"
    return replace(found, note=f"{found.note}; {note}" if found.note else note)


@dataclass(frozen=True, slots=True)
class _End:
    origin: Origin
    missing: str = ""
    note: str = ""


class _Rules:
    """The conditions of each rule, computed when it is its turn."""

    def __init__(self, evidence: Evidence, p_axis: float | None) -> None:
        self._evidence, self._p_axis = evidence, p_axis
        groups = (~np.asarray(evidence.canonical, dtype=bool)).astype(np.int64)
        self._layout = Layout(groups, evidence.images, 2)
        halves = {"yes/no": evidence.answers, "exchanged": evidence.scene, "Null 1": evidence.null_1}
        given = {name: half.first for name, half in halves.items() if half is not None}
        for name, deltas in (given | dict(evidence.blind)).items():
            if np.shape(deltas) != np.shape(evidence.real):
                raise ValueError(f"the {name} deltas must have the shape of the real ones, pair for pair")

    def steps(self) -> Iterator[tuple[list[Row], Origin] | _End]:
        """Yield each condition with the verdict where it does not hold, or the end."""
        evidence = self._evidence
        yield [self._tested()], Origin.NO_AXIS
        yield [self._resolved(1, "|alpha|^2", evidence.real)], Origin.NO_AXIS
        if not evidence.blind:
            yield _End(Origin.NONE, missing=_RUN_BLIND)
            return
        # Vectors, not sizes: a size says nothing of a control whose axis points elsewhere.
        beyond = [
            self._resolved(2, f"|alpha(real - {name})|^2", np.subtract(evidence.real, each, dtype=np.float64))
            for name, each in evidence.blind.items()
        ]
        yield beyond, Origin.CONTROLS
        if evidence.answers is None:
            yield _End(Origin.NONE, missing=_RUN_ANSWERS)
            return
        space = evidence.without_word(evidence.answers)
        shared = self._resolved(3, "|alpha|^2 of the space half", space)
        word = self._resolved(3, "|alpha|^2 of the word half", evidence.answers.word)
        if shared.holds is False:
            # Where neither half is seen, yes/no runs say nothing of the axis.
            yield [word, shared], Origin.ANSWER if word.holds else Origin.OPEN
        yield [shared], Origin.ANSWER
        if evidence.scene is None:
            yield _End(Origin.OPEN, note=NO_EXCHANGE)
            return
        scene = evidence.without_word(evidence.scene)
        yield [self._resolved(4, "|alpha|^2 of the scene half", scene)], Origin.OPEN
        if evidence.null_1 is None:
            yield _End(Origin.NONE, missing=_RUN_NULL_1)
            return
        left = evidence.without_word(evidence.scene, less=evidence.null_1.space)
        yield [self._resolved(4, "|alpha(scene half - Null 1)|^2", left)], Origin.OPEN
        # What any question sees of an exchange is no part of the axis, and would only turn it.
        both = sums_of_both(space, left, self._layout).raw.products()
        cosine = corrected_cosine(both, axis_effect(0), axis_effect(1))
        row = _bound(5, "cosine of space half and scene half - Null 1", cosine, SAME_AXIS)
        yield [row], Origin.OPEN
        along = sums_of_both(evidence.real, left, self._layout).raw.products()
        product = inner_product(along, axis_effect(0), axis_effect(1))
        yield [_bound(6, "<alpha, alpha of scene half - Null 1>", product, 0.0)], Origin.OPEN
        chance = chance_cosine(space, left, evidence.canonical, seed=_SEED)
        by_chance = chance is not None and row.low is not None and row.low <= chance
        yield _End(Origin.SCENE, note=f"{BY_CHANCE} ({chance:.2f})" if by_chance else "")

    def _tested(self) -> Row:
        p_value = self._p_axis
        holds = None if p_value is None else p_value <= _ALPHA
        reason = _NOT_TESTED if p_value is None else ""
        return Row(1, "p of the axis over layers, after Holm", p_value, None, _ALPHA, holds, reason=reason)

    def _resolved(self, rule: int, name: str, vectors: npt.NDArray[Any] | FloatArray) -> Row:
        return _bound(rule, name, axis_size(sums_of_asked(vectors, self._layout).raw.products(), 0), 0.0)


def _bound(rule: int, name: str, statistic: Statistic, limit: float) -> Row:
    found = statistic.estimate()
    holds = None if found.ci_low is None else found.ci_low > limit
    return Row(rule, name, found.value, found.ci_low, limit, holds, found.n_images, found.reason)
