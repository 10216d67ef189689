"""Worlds of one axis beside what it may be taken for: the answer's word, words of the output layer, names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlmprobe.analysis.controls import AxisDeltas, Counterbalanced, ProbePairs, readout_span, without_span
from vlmprobe.analysis.geometry import Layout

from .scene_world import length
from .worlds import directions, noise_spread

__all__ = ["ANSWERS", "WORDS", "ControlWorld", "named_objects"]

#: Rows of the words of three axes' answers, and how many words there are.
ANSWERS, WORDS = [(0, 1), (2, 3), (4, 5)], 120


@dataclass(frozen=True)
class ControlWorld:
    """One axis; lengths are given as the coherence that they make alone."""

    pairs: int = 80
    an_image: int = 1
    """Pairs of one image, which share half of their noise."""
    share: float = 0.5
    """Of canonical pairs."""
    space: float = 0.0
    """Of an axis that follows the scene."""
    word: float = 0.0
    """Of the answer's word, which the second template reverses."""
    wrong: int = 0
    """Pairs with both answers wrong."""
    follows: float = 0.0
    """What wrong pairs follow: the truth (1), the answer (-1), or neither."""
    dim: int = 64

    def canonical(self, rng: np.random.Generator) -> np.ndarray:
        """Draw which pairs are canonical."""
        return rng.permutation(np.arange(self.pairs) < round(self.share * self.pairs))

    @property
    def images(self) -> list[str]:
        """Of the pairs."""
        return [f"image {place // self.an_image}" for place in range(self.pairs)]

    def layout(self, canonical: np.ndarray) -> Layout:
        """Return the layout of the pairs."""
        return Layout((~canonical).astype(np.int64), self.images, 2)

    def noise(self, rng: np.random.Generator) -> np.ndarray:
        """Draw the noise of one run."""
        found = rng.normal(size=(self.pairs, self.dim))
        if self.an_image > 1:
            of_image = rng.normal(size=found.shape)[np.arange(self.pairs) // self.an_image]
            found = np.sqrt(0.5) * found + np.sqrt(0.5) * of_image
        return found * noise_spread(self.dim)

    def templates(self, rng: np.random.Generator) -> tuple[Counterbalanced, np.ndarray]:
        """Draw the deltas of two templates that oppose the word; half of their noise is in common."""
        axis, answer = directions(self.dim, 2, 3)
        canonical = self.canonical(rng)
        signs = np.where(canonical, 1.0, -1.0)[:, None]
        common, first, second = (np.sqrt(0.5) * self.noise(rng) for _ in range(3))
        seen, said = signs * axis * length(self.space), signs * answer * length(self.word)
        return Counterbalanced(seen + said + common + first, seen - said + common + second), canonical

    def beside_control(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw a run's deltas, those of its control, and which pairs are canonical.

        The control has the word and lacks the axis that follows the scene; half of the noise is in common.
        """
        axis, answer = directions(self.dim, 2, 3)
        canonical = self.canonical(rng)
        signs = np.where(canonical, 1.0, -1.0)[:, None]
        common, first, second = (np.sqrt(0.5) * self.noise(rng) for _ in range(3))
        seen, said = signs * axis * length(self.space), signs * answer * length(self.word)
        return seen + said + common + first, said + common + second, canonical

    def answered(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw deltas, which pairs are canonical, and which are wrong."""
        axis = directions(self.dim, 1, 5)[0]
        canonical, wrong = self.canonical(rng), np.arange(self.pairs) < self.wrong
        along = np.where(canonical, 1.0, -1.0) * np.where(wrong, self.follows, 1.0) * length(self.space)
        return along[:, None] * axis + self.noise(rng), canonical, wrong

    def rows(self) -> np.ndarray:
        """Return the output layer's rows of words, the same in every study."""
        return np.random.default_rng(17).normal(size=(WORDS, self.dim))

    def read_out(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw deltas whose axis lies along a word of the output layer, beside all of them, or both."""
        rows, canonical = self.rows(), self.canonical(rng)
        word = rows[0] - rows[1]
        outside = without_span(directions(self.dim, 1, 9), readout_span(rows, ANSWERS))[0]
        axis = length(self.word) * word / np.linalg.norm(word)
        axis = axis + length(self.space) * outside / np.linalg.norm(outside)
        return np.where(canonical, 1.0, -1.0)[:, None] * axis + self.noise(rng), canonical

    def axis_deltas(self, rng: np.random.Generator) -> AxisDeltas:
        """Draw one template's pairs."""
        axis, canonical = directions(self.dim, 1, 3)[0], self.canonical(rng)
        signs = np.where(canonical, 1.0, -1.0)[:, None]
        return AxisDeltas(signs * axis * length(self.space) + self.noise(rng), canonical, self.images)


def named_objects(
    rng: np.random.Generator,
    *,
    axis: float = 0.0,
    names: float = 1.0,
    pairs: int = 80,
    objects: int = 24,
    dim: int = 40,
) -> ProbePairs:
    """Draw states of both questions: a picture, the names in their order, and an axis of the category.

    With ``axis`` 0 it is an untrained model: a state says which objects are named, and in which order.
    """
    first, second = rng.normal(size=(2, objects, dim))
    direction = rng.normal(size=dim) / np.sqrt(dim)
    one, other = np.array([rng.choice(objects, 2, replace=False) for _ in range(pairs)]).T
    canonical = rng.permutation(np.arange(pairs) < pairs // 2)
    picture, noise = rng.normal(size=(pairs, dim)), 0.1 * rng.normal(size=(2, pairs, dim))
    moved = axis * np.where(canonical, 1.0, -1.0)[:, None] * direction
    return ProbePairs(
        picture + names * (first[one] + second[other]) + moved + noise[0],
        picture + names * (first[other] + second[one]) - moved + noise[1],
        canonical,
        [f"image {place}" for place in range(pairs)],
        [f"object {place}" for place in one],
        [f"object {place}" for place in other],
    )
