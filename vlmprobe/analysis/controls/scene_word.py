"""Scene and words beside each other: what a verdict's rows leave out.

``scene_word.cosine`` is the cosine of two axes of the same pairs: that of the exchanged names, h(swap) - h(orig), and
that of the exchanged pictures. Of the latter the space half is taken, in which most of the answer's word cancels.
Images are whatever the evidence says belongs together: a picture, its exchange, and pictures that these link.

No second template reverses the word quite, and near the output what it leaves may be most of the space half. So what
lies along the axis of the word half is taken out first, where that axis is resolved. Where it is not, its direction
would be one of noise: to take that out removes no word, and turns the half from study to study by more than an
interval allows for.

Beside a verdict the numbers stand without intervals; ``robustness`` prints them with theirs. The rows of the verdict
have bounds, and decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.controls.answers import space_coherence
from vlmprobe.analysis.controls.deltas import sums_of_asked, sums_of_both
from vlmprobe.analysis.controls.disjoint import DisjointPairs
from vlmprobe.analysis.geometry import Layout, axis_effect, axis_size, balanced_coherence, corrected_cosine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.analysis.controls.deltas import Counterbalanced
    from vlmprobe.analysis.controls.verdict import Evidence
    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.inference import Estimate, Statistic

__all__ = [
    "WORD_LEFT",
    "WORD_OUT",
    "Beside",
    "SceneReadings",
    "null_2",
    "null_3",
    "scene_readings",
    "scene_words",
]

#: What a reader must know of a number of the scene half.
WORD_OUT = "what lies along the word's axis is taken out"
WORD_LEFT = "the word half is not resolved, so nothing is taken out"


@dataclass(frozen=True, slots=True)
class Beside:
    """A number that stands beside a verdict and decides nothing; it has no interval."""

    statistic: str
    value: float | None
    n_images: int
    reason: str = ""
    """Why there is no value."""
    note: str = ""
    """Of the scene half: whether the word's axis is taken out."""


@dataclass(frozen=True, slots=True)
class SceneReadings:
    """What exchanged pictures say of one axis in one layer; None where a control is missing for it."""

    word_out: bool
    """Whether the word half is resolved, so that its axis is taken out of the scene half; the last one is without it
    either way, as rule 5 is."""
    cosine: Estimate
    """``scene_word.cosine``."""
    coherence: Estimate
    """``axis_coherence.scene``: the balanced coherence of the scene half."""
    less_null_1: Estimate | None
    """``axis_coherence.scene_less_null_1``: that of the scene half - Null 1, pair by pair."""
    disjoint: Estimate
    """``axis_coherence.scene_disjoint``: the coherence of the scene half, of pairs that share no object."""
    disjoint_cosine: Estimate | None
    """``scene_space.cosine_disjoint``: the cosine of rule 5, of pairs that share no object."""


def scene_words(evidence: Evidence) -> tuple[Beside, ...]:
    """Return the coherence of the space half and of the scene half, and ``scene_word.cosine``, as far as known.

    Args:
        evidence: of one axis in one layer; without exchanged pictures only the space half is there, without the two
            yes/no templates nothing.

    Raises:
        ValueError: a delta is not finite.
    """
    layout = _layout(evidence)
    found = []
    if evidence.answers is not None:
        found.append(_beside("coherence of the space half", space_coherence(evidence.answers, layout, 0)))
    if evidence.scene is not None:
        half = _SceneHalf(evidence, evidence.scene, layout)
        note, vectors = WORD_OUT if half.word_out else WORD_LEFT, half.less()
        found.append(_beside("coherence of the scene half", _coherence(vectors, layout), note))
        found.append(_beside("scene_word.cosine", _cosine(evidence, vectors, layout), note))
    return tuple(found)


def scene_readings(evidence: Evidence, objects: Sequence[tuple[str, str]] | None) -> SceneReadings | None:
    """Read what exchanged pictures say of an axis; None without exchanged pictures.

    Args:
        evidence: of one axis in one layer, without its blind controls if need be.
        objects: the names of each pair's two objects, spelled alike; None if they are not known.

    Raises:
        ValueError: a delta is not finite.
    """
    scene, null_1 = evidence.scene, evidence.null_1
    if scene is None:
        return None
    layout = _layout(evidence)
    pairs = DisjointPairs(evidence.canonical, evidence.images, objects)
    half = _SceneHalf(evidence, scene, layout)
    vectors = half.less()
    less = cosine = None
    if null_1 is not None:
        less = _coherence(half.less(null_1.space), layout).estimate()
        if evidence.answers is not None:
            space = evidence.without_word(evidence.answers)
            cosine = pairs.cosine(space, evidence.without_word(scene, less=null_1.space))
    return SceneReadings(
        half.word_out,
        _cosine(evidence, vectors, layout).estimate(),
        _coherence(vectors, layout).estimate(),
        less,
        pairs.coherence(vectors),
        cosine,
    )


def null_2(null_1: Counterbalanced, own: Sequence[bool | None], images: Sequence[str]) -> Estimate:
    """Estimate |alpha|^2 of Null 2: the exchange under a question whose relation it leaves as it is.

    The deltas are those of Null 1, with the category that the other question has of its own. What it asks about is the
    same in both pictures, so nothing should turn with its category: the interval should hold 0.

    Args:
        null_1: the exchange under a question about another axis, of N pairs.
        own: N categories of that question, whether canonical; None where it is not known, or the exchange turns it.
        images: N names of images, or of what else belongs together.
    """
    known = [place for place, each in enumerate(own) if each is not None]
    layout = Layout([0 if own[place] else 1 for place in known], [images[place] for place in known], 2)
    return axis_size(sums_of_asked(null_1.space[known], layout).raw.products(), 0).estimate()


def null_3(evidence: Evidence) -> tuple[Estimate, bool] | None:
    """Estimate ``null_3.coherence``: that of the scene half where the weights are random; None if it was not asked.

    It is read as ``axis_coherence.scene`` is, but in coordinates of its own: the word's axis that is taken out is that
    of the untrained network, where it has one. Nothing was learnt, so the interval should hold 0.

    Args:
        evidence: of one axis in one layer.

    Returns:
        The coherence, and whether the word's axis is taken out.

    Raises:
        ValueError: a delta is not finite.
    """
    if evidence.null_3 is None:
        return None
    layout = _layout(evidence)
    half = _SceneHalf(evidence, evidence.null_3, layout)
    return _coherence(half.less(), layout).estimate(), half.word_out


class _SceneHalf:
    """The scene half of each pair, without its word's axis where that is resolved."""

    def __init__(self, evidence: Evidence, scene: Counterbalanced, layout: Layout) -> None:
        self._evidence, self._scene = evidence, scene
        word = axis_size(sums_of_asked(scene.word, layout).raw.products(), 0)
        self.word_out = word.estimate().is_resolved

    def less(self, others: FloatArray | float = 0.0) -> FloatArray:
        """Return (N, D) the half less others."""
        if self.word_out:
            return self._evidence.without_word(self._scene, less=others)
        return self._scene.space - others


def _layout(evidence: Evidence) -> Layout:
    return Layout((~np.asarray(evidence.canonical, dtype=bool)).astype(np.int64), evidence.images, 2)


def _coherence(vectors: FloatArray, layout: Layout) -> Statistic:
    return balanced_coherence(sums_of_asked(vectors, layout).units.products(), 0)


def _cosine(evidence: Evidence, half: FloatArray, layout: Layout) -> Statistic:
    both = sums_of_both(evidence.real, half, layout).raw.products()
    return corrected_cosine(both, axis_effect(0), axis_effect(1))


def _beside(name: str, statistic: Statistic, note: str = "") -> Beside:
    found = statistic.estimate()
    return Beside(name, found.value, found.n_images, found.reason if found.value is None else "", note)
