"""Worlds in which the truth is known: deltas of swap pairs with a given axis, angle, order effect and clustering."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

__all__ = ["Layers", "Sample", "SwapWorld", "Twins", "coherence_of", "directions", "noise_spread", "truth"]

#: Vectors behind a mean whose truth has no closed form.
_MANY = 200_000


@dataclass(frozen=True)
class Sample:
    """Swap pairs of one draw."""

    deltas: np.ndarray
    """(N, D)."""
    codes: np.ndarray
    """(N,) category numbers, 2 k and 2 k + 1 of axis k."""
    images: list[str]
    strata: list[str] | None = None
    """The kind of each pair's image, in a world where that goes with the category."""


def noise_spread(dim: int) -> np.ndarray:
    """Return (D,) standard deviations with eigenvalues 1/k, of total variance 1: deltas fill few dimensions."""
    variances = 1 / np.arange(1, dim + 1)
    return np.sqrt(variances / variances.sum())


def directions(dim: int, count: int, seed: int) -> np.ndarray:
    """Return (count, D) orthogonal unit vectors that lie where the noise lies."""
    drawn = np.random.default_rng(seed).normal(size=(count, dim)) * np.sqrt(noise_spread(dim))
    return np.linalg.qr(drawn.T)[0].T


def coherence_of(deltas: np.ndarray, canonical: np.ndarray) -> float:
    """Return the mean cosine of the sign-corrected deltas of one axis, an image each."""
    signs = np.where(canonical, 1.0, -1.0)
    total = (deltas * (signs / np.linalg.norm(deltas, axis=1))[:, None]).sum(axis=0)
    return float((total @ total - len(deltas)) / (len(deltas) * (len(deltas) - 1)))


@dataclass(frozen=True)
class SwapWorld:
    """Three axes; those of height and distance are at one known cosine, the first and that of height at another."""

    pairs: int = 80
    """An axis."""
    coherence: tuple[float, float, float] = (0.1, 0.1, 0.1)
    """Signal per total variance, which is about the coherence."""
    cosine: float = 0.5
    control: float = 0.0
    """Cosine of the first axis and that of height."""
    share: float = 0.65
    """Of canonical pairs."""
    order: float = 0.0
    """Share of the variance that any swap has in common."""
    layout: str = "one"
    """``one`` pair an image, ``four`` of one axis, ``mixed`` 1 to 4 of any, ``three``: one of each axis, or
    ``informative``: images of 1 and of 8 pairs, of which the latter have the weaker axis."""
    heavy: bool = False
    """Whether an image's noise is Student's t with 3 degrees of freedom."""
    lopsided: bool = False
    """Whether the canonical category moves the state four times as far."""
    noise_ratio: float = 1.0
    """How much noisier the canonical category's opposite is."""
    leaning: float = 0.0
    """Share of the variance of something that images have and that goes with the category in 7 of 10."""
    dim: int = 96
    seed: int = 7
    """Of the axes' directions."""

    @property
    def canonical_pairs(self) -> int:
        """Of an axis."""
        return round(self.share * self.pairs)

    def effects(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the (3, D) axis effects and the (D,) order effect."""
        first, second, third, common = directions(self.dim, 4, self.seed)
        turned = self.cosine * second + np.sqrt(1 - self.cosine**2) * third
        lengths = np.sqrt([theta / (1 - theta) for theta in self.coherence])
        order = common * np.sqrt(self.order / (1 - self.order))
        first = self.control * second + np.sqrt(1 - self.control**2) * first
        return np.stack([first, second, turned]) * lengths[:, None], order

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw the pairs of one study."""
        n = 3 * self.pairs
        axis = np.repeat(np.arange(3), self.pairs)
        images = self._images(rng)
        # A benchmark has so many pairs of each category; they are not drawn.
        canonical = np.concatenate([rng.permutation(self.pairs) < self.canonical_pairs for _ in range(3)])
        group = np.zeros(n)
        if self.leaning:
            kind = rng.random(n) < 0.5
            canonical = rng.random(n) < np.where(kind[images], 0.7, 0.3)
            group = np.where(kind[images], 1.0, -1.0) * np.sqrt(self.leaning / (1 - self.leaning))
        noise = rng.normal(size=(n, self.dim))
        if self.layout != "one":
            noise = np.sqrt(0.5) * noise + np.sqrt(0.5) * rng.normal(size=(n, self.dim))[images]
        noise *= noise_spread(self.dim)
        if self.heavy:
            noise *= (np.sqrt(1 / rng.chisquare(3, size=n)))[images][:, None]
        noise *= np.where(canonical, 1.0, self.noise_ratio)[:, None]
        signs = np.where(canonical, 1.0, -1.0)
        if self.lopsided:
            signs = np.where(canonical, 1.6, -0.4)
        if self.layout == "informative":
            signs = signs * np.where(np.bincount(images, minlength=n)[images] > 1, 0.5, 1.5)
        axes, order = self.effects()
        deltas = signs[:, None] * axes[axis] + order + noise
        deltas += group[:, None] * directions(self.dim, 5, self.seed)[4]
        deltas *= np.exp(0.3 * rng.normal(size=(n, 1)))
        strata = [f"kind {value > 0}" for value in group] if self.leaning else None
        return Sample(deltas, 2 * axis + ~canonical, [str(image) for image in images], strata)

    def _images(self, rng: np.random.Generator) -> np.ndarray:
        n = 3 * self.pairs
        if self.layout == "one":
            return np.arange(n)
        if self.layout == "three":
            return np.tile(np.arange(self.pairs), 3)
        if self.layout == "four":
            return np.arange(n) // 4
        if self.layout == "informative":
            sizes = np.where(rng.random(n) < 0.5, 1, 8)
            return np.repeat(np.arange(n), sizes)[:n]
        sizes = rng.integers(1, 5, size=n)
        return rng.permutation(np.repeat(np.arange(n), sizes)[:n])


def truth(world: SwapWorld, vectors: int = _MANY) -> dict[str, np.ndarray]:
    """Return what directions have in common: (3,) squared lengths of axis and order effects, (6,) of the categories.

    Without bias from the finite number of vectors: |mean|^2 less its variance.
    """
    # However many pairs are drawn, and from whichever images; fewer at a time where they are long.
    return _truth(replace(world, pairs=min(vectors // 20, 1_000_000 // world.dim), layout="one"))


@lru_cache(maxsize=256)
def _truth(alone: SwapWorld) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20_260_101)
    totals, counts, lengths = np.zeros((6, alone.dim)), np.zeros(6), np.zeros(6)
    for _ in range(20):
        sample = alone.sample(rng)
        norms = np.linalg.norm(sample.deltas, axis=1)
        for code in range(6):
            inside = sample.codes == code
            totals[code] += (sample.deltas[inside] / norms[inside, None]).sum(axis=0)
            lengths[code] += norms[inside].sum()
            counts[code] += inside.sum()
    means = totals / counts[:, None]
    products = means @ means.T
    own = (counts * np.diag(products) - 1) / (counts - 1)
    np.fill_diagonal(products, own)
    plus, minus = slice(0, None, 2), slice(1, None, 2)
    across = np.array([products[2 * axis, 2 * axis + 1] for axis in range(3)])
    return {
        "axis": (own[plus] + own[minus] - 2 * across) / 4,
        "order": (own[plus] + own[minus] + 2 * across) / 4,
        "category": own,
        "length": lengths / counts,
    }


@dataclass(frozen=True)
class Twins:
    """One axis in two checkpoints on the same pairs, an image each, with noise in common."""

    pairs: int = 80
    coherence: tuple[float, float] = (0.1, 0.1)
    cosine: float = 1.0
    """Between the axes of the two."""
    shared: float = 0.8
    """Correlation of the noise."""
    share: float = 0.5
    dim: int = 96

    def sample(self, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """Draw the pairs as the two checkpoints see them."""
        first, second = directions(self.dim, 2, 11)
        turned = self.cosine * first + np.sqrt(1 - self.cosine**2) * second
        canonical = rng.permutation(np.arange(self.pairs) < round(self.share * self.pairs))
        signs = np.where(canonical, 1.0, -1.0)[:, None]
        common = rng.normal(size=(self.pairs, self.dim))
        samples = []
        for theta, axis in zip(self.coherence, (first, turned), strict=True):
            own = rng.normal(size=(self.pairs, self.dim))
            noise = np.sqrt(self.shared) * common + np.sqrt(1 - self.shared) * own
            deltas = signs * axis * np.sqrt(theta / (1 - theta)) + noise * noise_spread(self.dim)
            samples.append(Sample(deltas, (~canonical).astype(np.int64), [str(i) for i in range(self.pairs)]))
        return samples[0], samples[1]


@dataclass(frozen=True)
class Layers:
    """One axis, alike in all layers, whose noise is correlated from layer to layer; an image a pair."""

    pairs: int = 100
    coherence: float = 0.1
    layers: int = 36
    shared: float = 0.5
    """Correlation of the noise of neighbors."""
    share: float = 0.5
    order: float = 0.0
    cosine: float = 1.0
    """Of the axis and that of a world of cosine 1."""
    dim: int = 96

    def sample(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return (L, N, D) deltas and (N,) whether the pair is canonical."""
        axis, common, across = directions(self.dim, 3, 13)
        axis = self.cosine * axis + np.sqrt(1 - self.cosine**2) * across
        canonical = rng.permutation(np.arange(self.pairs) < round(self.share * self.pairs))
        noise = rng.normal(size=(self.layers, self.pairs, self.dim))
        for layer in range(1, self.layers):
            noise[layer] = self.shared * noise[layer - 1] + np.sqrt(1 - self.shared**2) * noise[layer]
        signal = (
            np.where(canonical, 1.0, -1.0)[:, None] * axis * np.sqrt(self.coherence / (1 - self.coherence))
        )
        signal = signal + common * np.sqrt(self.order / (1 - self.order))
        return noise * noise_spread(self.dim) + signal, canonical
