"""A bag of names: how often names alone tell which of two objects a relation holds for, on held-out images.

A pair's features are those of its subject less those of its reference, so that asking in the other order turns them
over with the label. A linear model without an intercept on them says "this name is usually the higher one" and no more.
Ridge regression is linear in the labels: all draws of a null take one product with the same inverse.

Under the null hypothesis the names of an image say nothing about where its objects are: all its relations could as
well be the other way round. So the labels of an image are turned over together, or left, at random. That exchanges the
two roles in a pair, which every swap pair does anyway, and it keeps pairs of one image together. Labels exchanged among
images would miss a file that always names the wall first and mostly says "above".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from vlmprobe.analysis.inference import hash_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import FloatArray, IntArray

    Features = Callable[[str], Sequence[str]]

__all__ = ["FEW_IMAGES", "HELD_OUT", "METHOD", "MIN_EVIDENCE", "NEW_NAMES", "Bag", "HeldOut"]

#: Fewer images have too few ways to be turned over, and no fold of their own.
MIN_IMAGES = 10
#: A share of fewer pairs says nothing.
MIN_EVIDENCE = 20
FEW_IMAGES = f"fewer than {MIN_IMAGES} images"
_FOLDS, _FOLDS_OF_PARTITION, _PARTITIONS = 10, 5, 8
#: Weight of the squared coefficients, in pairs: a name seen once is believed by half.
_RIDGE = 1.0
#: Of the names, or words, of most images; a rarer one hardly helps, and the inverse grows with their cube.
_MAX_FEATURES = 500
#: Of pairs and features: 160 MB.
_MAX_CELLS = 20_000_000
#: Draws that are multiplied at a time.
_CHUNK = 256
#: Scores that are 0 but for rounding.
_ROUNDING = 1e-9
METHOD = f"ridge {_RIDGE:g}, relations of an image reversed together"
HELD_OUT = f"{METHOD}; {_FOLDS} folds of images"
NEW_NAMES = f"{METHOD}; {_PARTITIONS} partitions of names, {_FOLDS_OF_PARTITION} folds of images"

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A held-out accuracy beside what it is where names say nothing."""

    n: int
    """Pairs that were predicted."""
    n_images: int
    accuracy: float | None = None
    chance: float | None = None
    """Mean over the draws."""
    chance_high: float | None = None
    """What 95 % of the draws do not exceed."""
    p_value: float | None = None
    """One-sided: (1 + draws that reach the accuracy) / (1 + draws)."""
    reason: str = ""
    """Why there is no accuracy."""


class Bag:
    """The pairs of one axis, and draws of which images are turned over."""

    def __init__(
        self,
        subjects: Sequence[str],
        references: Sequence[str],
        canonical: Sequence[bool],
        images: Sequence[str],
        *,
        n_draws: int,
        seed: int,
    ) -> None:
        """Take the pairs of one axis; each picture and couple of objects should be there once.

        Args:
            subjects: n names, as they are compared.
            references: n names, other than the subjects.
            canonical: n flags, whether the subject is the canonical one (the left, higher, farther one).
            images: n image names or hashes.
            n_draws: of the null.
            seed: of PCG64 generators: one for the draws, one for the partitions of names.

        Raises:
            ValueError: the lengths differ.
        """
        n = len(subjects)
        if not n == len(references) == len(canonical) == len(images):
            raise ValueError(f"{n} subjects need as many references, labels and images")
        # The object that is canonical, and the other: a label is where it stands, not a number.
        self._couples = [
            (subject, reference) if first else (reference, subject)
            for subject, reference, first in zip(subjects, references, canonical, strict=True)
        ]
        names, image_of = np.unique(np.asarray(images, dtype=np.str_), return_inverse=True)
        self._image_of: IntArray = np.asarray(image_of, dtype=np.int64)
        self._n_images = len(names)
        self._place = np.argsort(hash_order(names.tolist())) if len(names) else np.zeros(0, dtype=np.int64)
        draws, self._partition_seed = np.random.SeedSequence(seed).spawn(2)
        rng = np.random.Generator(np.random.PCG64(draws))
        # The first row is the data: nothing turned over.
        turned = rng.integers(2, size=(n_draws, self._n_images), dtype=np.int8) * 2 - 1
        self._signs = np.vstack([np.ones((1, self._n_images), dtype=np.int8), turned])

    def of_new_images(self) -> HeldOut:
        """Predict the pairs of a tenth of the images from the others, by the names and their words.

        Pairs whose names and words occur in no other image count as half right: nothing is known of them.
        """
        if self._n_images < MIN_IMAGES:
            return HeldOut(len(self._couples), self._n_images, reason=FEW_IMAGES)
        matrix = self._matrix(_name_and_words, self._image_of)
        if np.count_nonzero(matrix.any(axis=1)) < MIN_EVIDENCE:
            reason = f"fewer than {MIN_EVIDENCE} pairs have a name that occurs in another image"
            return HeldOut(len(self._couples), self._n_images, reason=reason)
        fold = self._place[self._image_of] % _FOLDS
        splits = ((np.flatnonzero(fold != each), np.flatnonzero(fold == each)) for each in range(_FOLDS))
        return self._predict(matrix, splits, only_known=False)

    def of_new_names(self) -> HeldOut:
        """Predict pairs from pairs about other objects: no name of a test is in its training, nor its image.

        Names are halved at random, eight times; training is on pairs within one half, the test on pairs within the
        other. Only words that different names share carry anything over; pairs without such a word are left out.
        """
        if self._n_images < MIN_IMAGES:
            return HeldOut(len(self._couples), self._n_images, reason=FEW_IMAGES)
        names = sorted({name for couple in self._couples for name in couple})
        place_of = {name: place for place, name in enumerate(names)}
        ends = np.array([[place_of[name] for name in couple] for couple in self._couples])
        matrix = self._matrix(_words, None)
        rng = np.random.Generator(np.random.PCG64(self._partition_seed))
        halves = [rng.permutation(len(names)) % 2 for _ in range(_PARTITIONS)]
        splits = list(self._splits_of_names(halves, ends))
        known = {int(pair) for train, test in splits for pair in test[_known(matrix[test], matrix[train])]}
        if len(known) < MIN_EVIDENCE:
            reason = f"fewer than {MIN_EVIDENCE} pairs share a word with pairs about other objects"
            return HeldOut(len(known), self._n_images, reason=reason)
        n_images = len(set(self._image_of[sorted(known)].tolist()))
        found = self._predict(matrix, iter(splits), only_known=True)
        return HeldOut(len(known), n_images, found.accuracy, found.chance, found.chance_high, found.p_value)

    def _splits_of_names(
        self, halves: Sequence[IntArray], ends: IntArray
    ) -> Iterator[tuple[IntArray, IntArray]]:
        fold = self._place[self._image_of] % _FOLDS_OF_PARTITION
        for half in halves:
            first, second = half[ends[:, 0]], half[ends[:, 1]]
            for side in (0, 1):
                inside, outside = (first == side) & (second == side), (first != side) & (second != side)
                for each in range(_FOLDS_OF_PARTITION):
                    train = np.flatnonzero(inside & (fold != each))
                    test = np.flatnonzero(outside & (fold == each))
                    if len(train) and len(test):
                        yield train, test

    def _predict(
        self, matrix: FloatArray, splits: Iterator[tuple[IntArray, IntArray]], *, only_known: bool
    ) -> HeldOut:
        """Return the share of pairs predicted right, under each draw."""
        right, n = np.zeros(len(self._signs)), 0
        ridge = _RIDGE * np.eye(matrix.shape[1])
        for train, test in splits:
            trained, tested = matrix[train], matrix[test]
            if only_known:
                known = _known(tested, trained)
                test, tested = test[known], tested[known]
                if not len(test):
                    continue
            n += len(test)
            # Scores are this times the labels of training.
            factor = cho_factor(trained.T @ trained + ridge, check_finite=False)
            weights = cho_solve(factor, tested.T, check_finite=False)
            for start in range(0, len(self._signs), _CHUNK):
                signs = self._signs[start : start + _CHUNK].astype(np.float64)
                scores = weights.T @ (trained.T @ signs[:, self._image_of[train]].T)
                scores *= signs[:, self._image_of[test]].T
                hits = (scores > _ROUNDING) + 0.5 * (np.abs(scores) <= _ROUNDING)
                right[start : start + _CHUNK] += hits.sum(axis=0)
        shares = right / n
        observed, drawn = float(shares[0]), shares[1:]
        return HeldOut(
            n=n,
            n_images=self._n_images,
            accuracy=observed,
            chance=float(drawn.mean()),
            chance_high=float(np.quantile(drawn, 0.95)),
            p_value=(1 + int((drawn >= observed - _ROUNDING).sum())) / (1 + len(drawn)),
        )

    def _matrix(self, features: Features, images: IntArray | None) -> FloatArray:
        """Return (n, F): features of the canonical object less those of the other.

        A feature that occurs in one image only (or, without images, in one name only) predicts nothing held out.
        """
        seen: dict[str, set[object]] = {}
        for row, couple in enumerate(self._couples):
            for name in couple:
                for feature in features(name):
                    seen.setdefault(feature, set()).add(name if images is None else int(images[row]))
        counted = Counter({feature: len(places) for feature, places in seen.items() if len(places) > 1})
        n, n_features = len(self._couples), min(_MAX_FEATURES, _MAX_CELLS // max(1, len(self._couples)))
        kept = sorted(counted, key=lambda feature: (-counted[feature], feature))[:n_features]
        column_of = {feature: column for column, feature in enumerate(kept)}
        # A word that both names have says nothing of either: it adds up to 0.
        matrix = np.zeros((n, len(kept)))
        for row, couple in enumerate(self._couples):
            for name, sign in zip(couple, (1.0, -1.0), strict=True):
                columns = [column_of[feature] for feature in features(name) if feature in column_of]
                matrix[row, columns] += sign
        return matrix


def _words(name: str) -> list[str]:
    return sorted(set(_WORD.findall(name)))


def _name_and_words(name: str) -> list[str]:
    """Return a name and its words; the name is marked, since it may be a word of another."""
    return [f"={name}", *_words(name)]


def _known(tested: FloatArray, trained: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which tested pairs have a feature that some pair of training has."""
    return np.asarray((tested[:, trained.any(axis=0)] != 0).any(axis=1))
