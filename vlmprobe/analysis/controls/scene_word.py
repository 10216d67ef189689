"""Scene and words beside each other: what a verdict's rows leave out.

``scene_word.cosine`` is the cosine of two axes of the same pairs: that of the exchanged names, h(swap) - h(orig), and
that of the exchanged pictures. Of the latter the space half is taken, in which the answer's word cancels.

None has an interval here. The coherence of the space half was simulated as ``axis_coherence.answer_balanced``; no
simulated world is about the other two. The rows of the verdict have bounds, and decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.controls.answers import space_coherence
from vlmprobe.analysis.controls.deltas import sums_of_both
from vlmprobe.analysis.geometry import Layout, axis_effect, corrected_cosine

if TYPE_CHECKING:
    from vlmprobe.analysis.controls.verdict import Evidence
    from vlmprobe.analysis.inference import Statistic

__all__ = ["Beside", "scene_words"]


@dataclass(frozen=True, slots=True)
class Beside:
    """A number that stands beside a verdict and decides nothing; it has no interval."""

    statistic: str
    value: float | None
    n_images: int
    reason: str = ""
    """Why there is no value."""


def scene_words(evidence: Evidence) -> tuple[Beside, ...]:
    """Return the coherence of the space half and of the scene half, and ``scene_word.cosine``, as far as known.

    Args:
        evidence: of one axis in one layer; without exchanged pictures only the space half is there, without the two
            yes/no templates nothing.

    Raises:
        ValueError: a delta is not finite.
    """
    layout = Layout((~np.asarray(evidence.canonical, dtype=bool)).astype(np.int64), evidence.images, 2)
    found = []
    if evidence.answers is not None:
        found.append(_beside("coherence of the space half", space_coherence(evidence.answers, layout, 0)))
    if evidence.scene is not None:
        found.append(_beside("coherence of the scene half", space_coherence(evidence.scene, layout, 0)))
        both = sums_of_both(evidence.real, evidence.scene.space, layout).raw.products()
        found.append(_beside("scene_word.cosine", corrected_cosine(both, axis_effect(0), axis_effect(1))))
    return tuple(found)


def _beside(name: str, statistic: Statistic) -> Beside:
    found = statistic.estimate()
    return Beside(name, found.value, found.n_images, found.reason if found.value is None else "")
