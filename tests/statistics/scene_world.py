"""Worlds in which it is known whether an axis is one of the scene: deltas of all the runs that a verdict needs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vlmprobe.analysis.controls import Counterbalanced, Evidence

from .worlds import noise_spread

__all__ = ["SceneWorld", "length"]


@dataclass(frozen=True)
class SceneWorld:
    """One axis of N pairs. Each number is a coherence: signal per total variance."""

    pairs: int = 100
    space: float = 0.0
    """Of an axis that follows the relation in the picture."""
    cosine: float = 0.5
    """Of that axis, read from exchanged questions, and the same read from exchanged pictures."""
    word: float = 0.0
    """Of the answer's word, which the second template reverses."""
    kept: float = 0.0
    """What of the word's length the second template fails to reverse; 0 where the counterbalance is perfect."""
    aside: float = 0.0
    """Of what else goes with the answer in both yes/no templates alike, off the word's axis."""
    names: float = 0.0
    """Of names that tell the category in four of five pairs, with or without the picture."""
    amplified: float = 1.0
    """How much longer the names' part is where the picture can be seen."""
    position: float = 0.0
    """Of where the objects lie in the picture, which an exchange changes under any question."""
    asked: float = 1.0
    """How much longer the position's part is under the question that asks about it."""
    shared: float = 0.5
    """Correlation of the noise of runs over the same pairs."""
    an_image: int = 1
    """Pairs of one image, which share half of their noise."""
    dim: int = 96
    steep: float = 1.0
    """Eigenvalues of the noise are 1 / k to this power; at 1 its participation ratio is 16, at 1.5 it is 5."""
    narrow: bool = False
    """Whether common parts lie in the few dimensions in which noise is large, where two of them are alike by chance."""
    fixed: int | None = None
    """Seed of the directions, where they are the same in every study."""
    objects: int = 0
    """Names that the pairs draw two of, at random; 0 = each pair has objects of its own."""
    carried: float = 0.0
    """Of what is of the one object or the other, and turns with the relation as the axis does, in every half."""
    own: float = 0.0
    """Of what an exchange does to a state by the relation that Null 1 asks about, though it leaves that as it is."""

    def evidence(self, rng: np.random.Generator) -> Evidence:
        """Draw the directions, which differ from study to study, and the pairs."""
        n = self.pairs
        canonical = rng.permutation(np.arange(n) < n // 2)
        signs = np.where(canonical, 1.0, -1.0)[:, None]
        told = signs * np.where(rng.random((n, 1)) < 0.8, 1.0, -1.0)
        axis, across, word, name, position, own_word, aside = self._directions(rng)
        across -= axis * (axis @ across)
        turned = self.cosine * axis + np.sqrt(1 - self.cosine**2) * across / np.linalg.norm(across)
        space, seen = signs * axis * length(self.space), signs * turned * length(self.space)
        said = signs * word * length(self.word)
        # The published question is answered with words of its own.
        said_otherwise, beside = signs * own_word * length(self.word), signs * aside * length(self.aside)
        # Names tell the category in .8 of pairs, so their mean along the axis is .6 of their length.
        named = told * name * length(self.names) / 0.6
        lies = signs * position * length(self.position)
        question, exchange = self._noise(rng, 4), self._noise(rng, 4)
        reversed_word = (1 - 2 * self.kept) * said
        return Evidence(
            real=space + said_otherwise + self.amplified * named + question[0],
            canonical=canonical,
            images=[f"image {i // self.an_image}" for i in range(n)],
            blind={"blind": named + question[1]},
            answers=Counterbalanced(
                space + said + beside + self.amplified * named + question[3],
                space - reversed_word + beside + self.amplified * named + question[2],
            ),
            scene=Counterbalanced(
                seen + said + beside + self.asked * lies + exchange[0],
                seen - reversed_word + beside + self.asked * lies + exchange[1],
            ),
            null_1=Counterbalanced(lies + exchange[2], lies + exchange[3]),
        )

    def named_evidence(self, rng: np.random.Generator) -> tuple[Evidence, list[tuple[str, str]]]:
        """Draw the evidence of pairs whose objects leave something of their own in every state; and their names.

        What an object leaves has no direction in common with other objects, so the mean over all objects has none.
        """
        found = self.evidence(rng)
        many = self.objects or 2 * self.pairs
        ends = (
            np.array([rng.choice(many, 2, replace=False) for _ in range(self.pairs)])
            if self.objects
            else np.arange(many).reshape(self.pairs, 2)
        )
        of_object = rng.normal(size=(many, self.dim)) * self._spread() * length(self.carried)
        signs = np.where(found.canonical, 1.0, -1.0)[:, None]
        part = signs * of_object[ends].sum(axis=1) / np.sqrt(2)
        both = {
            name: Counterbalanced(half.first + part, half.opposite + part)
            for name, half in (("answers", found.answers), ("scene", found.scene))
            if half is not None
        }
        names = [(f"object {one}", f"object {other}") for one, other in ends]
        return replace(found, real=found.real + part, **both), names

    def asked_about(self, rng: np.random.Generator) -> tuple[Evidence, list[bool]]:
        """Draw the evidence, and the category of each pair's other question, which the exchange leaves as it is."""
        found = self.evidence(rng)
        own = rng.random(self.pairs) < 0.5
        assert found.null_1 is not None
        direction = self._directions(rng)[0]
        part = np.where(own, 1.0, -1.0)[:, None] * direction * length(self.own)
        null_1 = Counterbalanced(found.null_1.first + part, found.null_1.opposite + part)
        return replace(found, null_1=null_1), own.tolist()

    def _directions(self, rng: np.random.Generator) -> np.ndarray:
        if self.fixed is not None:
            rng = np.random.default_rng(self.fixed)
        spread = self._spread()
        drawn = rng.normal(size=(7, self.dim)) * (spread if self.narrow else np.sqrt(spread))
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def _noise(self, rng: np.random.Generator, runs: int) -> np.ndarray:
        common = self._of_images(rng.normal(size=(self.pairs, self.dim)), rng)
        own = self._of_images(rng.normal(size=(runs, self.pairs, self.dim)), rng)
        return (np.sqrt(self.shared) * common + np.sqrt(1 - self.shared) * own) * self._spread()

    def _spread(self) -> np.ndarray:
        spread = noise_spread(self.dim) ** self.steep
        return spread / np.linalg.norm(spread)

    def _of_images(self, noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.an_image == 1:
            return noise
        image = np.arange(self.pairs) // self.an_image
        return np.sqrt(0.5) * noise + np.sqrt(0.5) * rng.normal(size=noise.shape)[..., image, :]


def length(coherence: float) -> float:
    """Return how long a common part is, beside noise of total variance 1."""
    return float(np.sqrt(coherence / (1 - coherence)))
