"""A trained probe beside a control task, on splits that a copy of a pair cannot cross.

Random splits are refused. A pair's two questions have opposite labels and nearly one state, so that a probe that has
seen the one is wrong about the other: on an untrained model it is right in .21 to .28, not in .5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.geometry.estimates import MIN_IMAGES, TOO_FEW_IMAGES
from vlmprobe.analysis.inference import Estimate, effective_wilson, paired_difference
from vlmprobe.analysis.inference.estimate import upper_quantile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import BoolArray, FloatArray

__all__ = [
    "ALL_ALIKE",
    "NO_NAMES",
    "PARTITIONS",
    "TOO_FEW_OBJECTS",
    "Fit",
    "ProbePairs",
    "Probed",
    "Split",
    "probe",
]

#: Of standardized (M, D) states and M labels, a function that labels other states.
Fit = Callable[["FloatArray", "BoolArray"], Callable[["FloatArray"], "BoolArray"]]

#: Partitions of the objects into two halves, and folds of the images.
PARTITIONS, _FOLDS = 8, 5
#: Pairs on either side of a split, below which it tells nothing.
_FEWEST = 6
NO_NAMES = "the pairs name no objects"
ALL_ALIKE = "the same in every partition, so that there is no spread for an interval"
TOO_FEW_OBJECTS = f"too few pairs have both objects in one half, in one of {PARTITIONS} partitions"


class Split(StrEnum):
    """What no test pair shares with a training pair."""

    OBJECTS = "object-disjoint"
    IMAGES = "image-grouped"


@dataclass(frozen=True, slots=True, eq=False)
class ProbePairs:
    """The pairs of one axis in one layer."""

    orig: npt.NDArray[Any]
    """(N, D) states of the original questions."""
    swap: npt.NDArray[Any]
    """(N, D) of the swapped ones, where the other category is the right one."""
    canonical: Sequence[bool] | BoolArray
    """(N,) whether the original question's category is the canonical one."""
    images: Sequence[str]
    subjects: Sequence[str | None]
    """What the original question asks about, and what it compares it to."""
    references: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Probed:
    """One axis under one split."""

    split: Split
    accuracy: Estimate
    """``probe.accuracy``: share of questions whose category is told."""
    control: Estimate
    """``probe.control``: of a label that a random rank of the objects' names decides, which a swap flips too."""
    selectivity: Estimate
    """``probe.selectivity``: accuracy less control."""
    seed: int


def probe(pairs: ProbePairs, split: Split, fit: Fit, *, seed: int) -> Probed:
    """Train a probe for the category of a question, and one for the control task, on the same splits.

    Both questions of a pair are on one side of a split. Each dimension is standardized on the training side.
    Of images, five folds; each question is told once, and the intervals are those of shares over images. Of objects,
    eight partitions into two halves: pairs with both objects in the one are trained on, pairs with both in the other
    are told, the rest is left out; the intervals are Student's over partitions.

    Args:
        pairs: of one axis; pairs of an object and itself are left out.
        split: what the sides must not share.
        fit: trains a probe.
        seed: of a PCG64 generator, for folds, partitions and ranks.
    """
    if any(name is None for name in (*pairs.subjects, *pairs.references)):
        return _nothing(split, NO_NAMES, seed)
    kept = np.array(
        [one != other for one, other in zip(pairs.subjects, pairs.references, strict=True)], dtype=bool
    )
    names, numbers = np.unique(
        np.array([*pairs.subjects, *pairs.references], dtype=np.str_), return_inverse=True
    )
    ends = numbers.reshape(2, -1)[:, kept]
    images = np.array(pairs.images, dtype=np.str_)[kept]
    rng = np.random.Generator(np.random.PCG64(seed))
    study = _Study(
        np.asarray(pairs.orig, np.float64)[kept],
        np.asarray(pairs.swap, np.float64)[kept],
        np.asarray(pairs.canonical, dtype=bool)[kept],
        fit,
    )
    if split is Split.IMAGES:
        return _by_images(study, ends, len(names), images, rng, seed)
    return _by_objects(study, ends, len(names), images, rng, seed)


@dataclass(frozen=True, slots=True, eq=False)
class _Study:
    orig: FloatArray
    swap: FloatArray
    canonical: BoolArray
    fit: Fit

    def hits(self, labels: BoolArray, train: BoolArray, test: BoolArray) -> BoolArray:
        """Return (2, T) whether both questions of the test pairs are told, trained on the others."""
        states = np.concatenate([self.orig[train], self.swap[train]])
        middle, spread = states.mean(axis=0), states.std(axis=0)
        spread[spread == 0] = 1.0
        told = self.fit((states - middle) / spread, np.concatenate([labels[train], ~labels[train]]))
        answers = [told((side[test] - middle) / spread) for side in (self.orig, self.swap)]
        return np.stack([answers[0] == labels[test], answers[1] != labels[test]])


def _ranked(ends: npt.NDArray[Any], n_names: int, rng: np.random.Generator) -> BoolArray:
    rank = rng.permutation(n_names)
    found: BoolArray = rank[ends[0]] > rank[ends[1]]
    return found


def _by_images(
    study: _Study,
    ends: npt.NDArray[Any],
    n_names: int,
    images: npt.NDArray[np.str_],
    rng: np.random.Generator,
    seed: int,
) -> Probed:
    own, of_pair = np.unique(images, return_inverse=True)
    if len(own) < MIN_IMAGES:
        return _nothing(Split.IMAGES, TOO_FEW_IMAGES, seed)
    fold = (rng.permutation(len(own)) % _FOLDS)[of_pair]
    told, ranked = np.zeros((2, 2, len(images)), dtype=bool)
    control = _ranked(ends, n_names, rng)
    for number in range(_FOLDS):
        test = fold == number
        told[:, test] = study.hits(study.canonical, ~test, test)
        ranked[:, test] = study.hits(control, ~test, test)
    twice = [*images.tolist(), *images.tolist()]
    right, other = told.ravel(), ranked.ravel()
    return Probed(
        Split.IMAGES,
        effective_wilson(right, twice),
        effective_wilson(other, twice),
        paired_difference(other, right, twice),
        seed,
    )


def _by_objects(
    study: _Study,
    ends: npt.NDArray[Any],
    n_names: int,
    images: npt.NDArray[np.str_],
    rng: np.random.Generator,
    seed: int,
) -> Probed:
    shares = []
    for train, test in _partitions(ends, n_names, rng):
        # Pairs of different objects may be about one picture.
        train &= ~np.isin(images, images[test])
        control = _ranked(ends, n_names, rng)
        if min(train.sum(), test.sum()) < _FEWEST:
            return _nothing(Split.OBJECTS, TOO_FEW_OBJECTS, seed)
        shares.append([study.hits(labels, train, test).mean() for labels in (study.canonical, control)])
    told, ranked = np.array(shares).T
    n_images = len(np.unique(images))
    three = [_over(each, n_images) for each in (told, ranked, told - ranked)]
    return Probed(Split.OBJECTS, three[0], three[1], three[2], seed)


def _partitions(
    ends: npt.NDArray[Any], n_names: int, rng: np.random.Generator
) -> Iterator[tuple[BoolArray, BoolArray]]:
    for _ in range(PARTITIONS):
        inside = rng.permutation(n_names) < n_names // 2
        yield inside[ends].all(axis=0), ~inside[ends].any(axis=0)


def _over(shares: FloatArray, n_images: int) -> Estimate:
    n = len(shares)
    mean, se = float(shares.mean()), float(shares.std(ddof=1) / np.sqrt(n))
    if se == 0:
        return Estimate(mean, n_images, reason=ALL_ALIKE)
    half = upper_quantile(n - 1) * se
    return Estimate(mean, n_images, se=se, ci_low=mean - half, ci_high=mean + half)


def _nothing(split: Split, reason: str, seed: int) -> Probed:
    nothing = Estimate(None, 0, reason=reason)
    return Probed(split, nothing, nothing, nothing, seed)
