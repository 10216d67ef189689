"""The old results layout: the data of one scale and the names of its files.

::

    results/{model}/                                   or saved_data/{model}_{scale}/
      csv/  predictions_{scale}_{tag}.csv, delta_similarity_{scale}_L{n}_{tag}.csv, delta_norm_..., summary.csv
      json/ pred_stats_{scale}.json, category_validity_{scale}.json, axis_coherence_{scale}_{tag}.json, ...
            pairs_{scale}.json (ours: what the layout has no place for)
      npz/  vectors_{scale}.npz, cross_group_vectors_{scale}.npz

``{tag}`` is ``all_pairs`` or ``both_correct``; the newest files of the reference implementation have none, and
mean all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vlmprobe.pairs.axes import Subset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vlmprobe.analysis.layer_choice import LayerCandidates
    from vlmprobe.analysis.results import Metric
    from vlmprobe.pairs.axes import Axis, Category

__all__ = [
    "TAGS",
    "AnsweredPair",
    "ImportedRun",
    "PairFacts",
    "Quad",
    "QuadDeltas",
    "ScaleData",
    "ScaleResults",
]

Float32Array = npt.NDArray[np.float32]

#: Names of the subsets in old file names.
TAGS: dict[Subset, str] = {Subset.ALL: "all_pairs", Subset.BOTH_CORRECT: "both_correct"}


@dataclass(frozen=True, slots=True)
class PairFacts:
    """Facts about a pair that the old layout cannot hold; None if unknown."""

    question_id: str | None = None
    subject: str | None = None
    reference: str | None = None
    orig_question: str | None = None
    swap_question: str | None = None
    image_sha256: str | None = None
    image_width: int | None = None
    """Pixels."""
    image_height: int | None = None
    perspective: str | None = None
    """consistent, counter or ambiguous."""

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return any(getattr(self, each.name) is not None for each in fields(self))


@dataclass(frozen=True, slots=True)
class AnsweredPair:
    """One swap pair of one run with its answers."""

    pair_id: str
    category: Category
    pred_orig: str | None
    """The answer to the original question; None where only its verdict is known."""
    pred_swap: str | None
    correct_orig: bool
    correct_swap: bool
    # Not in repr, which the fingerprint of an import is made from, so that old fingerprints stay valid.
    facts: PairFacts = field(default=PairFacts(), repr=False)

    @property
    def axis(self) -> Axis:
        """The axis of the pair's category."""
        return self.category.axis

    @property
    def both_correct(self) -> bool:
        """Whether the pair belongs to the subset ``both_correct``."""
        return self.correct_orig and self.correct_swap


@dataclass(frozen=True, slots=True)
class Quad:
    """The two pairs of a quad; either may be one of the scale's own pairs."""

    distance: AnsweredPair
    vertical: AnsweredPair


@dataclass(frozen=True, slots=True)
class QuadDeltas:
    """The M quads of a scale, of which the old layout itself keeps only the deltas."""

    n: int
    layers: Mapping[int, tuple[Float32Array, Float32Array]]
    """Layer -> (M, D) vertical deltas and (M, D) distance deltas, row for row; may read on access."""
    known: tuple[Quad, ...] | None = None
    """M, row for row; None where nothing but the deltas is known."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the quads, in the order of the rows: their distance pairs', or else ``quad/{row}``."""
        if self.known is not None:
            return tuple(quad.distance.pair_id for quad in self.known)
        return tuple(f"quad/{row}" for row in range(self.n))


@dataclass(frozen=True, slots=True)
class ScaleData:
    """What was extracted for one scale."""

    family: str
    scale: str
    pairs: tuple[AnsweredPair, ...]
    """N pairs."""
    layers: Mapping[int, Float32Array]
    """Layer -> (N, 2, D) states, orig then swap, row for row with the pairs; may read on access."""
    quads: QuadDeltas | None = None


@dataclass(frozen=True, slots=True)
class ScaleResults:
    """The results computed for one scale; a file without content is not written."""

    metrics: Sequence[Metric] = ()
    """For every layer and both subsets, from ``layer_metrics`` and ``alignment_metrics``; names that the old
    layout lacks are skipped."""
    candidates: LayerCandidates | None = None


@dataclass(frozen=True, slots=True)
class ImportedRun:
    """One scale of a folder in the old layout, checked."""

    data: ScaleData
    folder: Path
    """The model's folder, the one with csv, json and npz in it."""
