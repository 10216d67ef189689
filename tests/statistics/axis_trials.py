"""Studies that ask whether there is an axis, in one layer or in any, and how high it is at its best layer."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import unit
from vlmprobe.analysis.fitted_directions import fit_direction
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    axis_size,
    balanced_coherence,
    corrected_cosine,
    halves,
    simultaneous_peak,
    split_reading,
    sums_of_vectors,
    why_no_halves,
)
from vlmprobe.analysis.inference import (
    AxisTests,
    Directions,
    LabelPermutations,
    min_p,
)
from vlmprobe.pairs import SPACE

from .outcomes import DRAWS, FALSE_AXES, FALSE_POSITIVES, POWER, Outcome, covers, rejects
from .worlds import coherence_of

if TYPE_CHECKING:
    from vlmprobe.analysis.inference import Statistic

    from .worlds import Layers, Sample, SwapWorld

__all__ = ["label_test", "layer_choice", "layer_test", "sign_accuracy"]

_NAME = "axis_coherence.balanced"


def label_test(world: SwapWorld, rng: np.random.Generator, *, strata: bool = False) -> list[Outcome]:
    """Is there an axis? By permuted labels alone, and with the resolved |alpha|^2."""
    sample = world.sample(rng)
    rows = np.flatnonzero(sample.codes // 2 == 1)
    deltas, codes, images = _of_axis(sample)
    canonical = codes == 2
    where = [sample.strata[row] for row in rows] if strata and sample.strata else None
    family = LabelPermutations(
        canonical, images, [f"pair {row}" for row in rows], seed=int(rng.integers(2**31)), strata=where
    )
    kind = POWER if world.coherence[1] > 0 else FALSE_POSITIVES
    return _axis_outcomes(kind, [deltas], canonical, images, family)


def _axis_outcomes(
    kind: str, layers: list[np.ndarray], canonical: np.ndarray, images: list[str], family: LabelPermutations
) -> list[Outcome]:
    if family.reason:
        return [Outcome(_NAME, kind, None)]
    labels = np.concatenate([family.observed(), family.draw(DRAWS)])
    layout = Layout((~canonical).astype(np.int64), images, 2)
    values, resolved = [], []
    for deltas in layers:
        values.append(family.statistics(unit(deltas)[0], labels))
        resolved.append(axis_size(sums_of_vectors(deltas, layout).raw.products(), 0).estimate().is_resolved)
    statistics, tolerance = np.stack(values), family.tolerance()
    p_any, _ = min_p(statistics, tolerance=tolerance)
    p_axis, _ = min_p(statistics, resolved, tolerance=tolerance)
    if len(layers) > 1:
        p_axis = _over_layers(layers, family, resolved)
    axis = POWER if kind == POWER else FALSE_AXES
    return [
        rejects(_NAME if len(layers) == 1 else f"{_NAME} (over layers)", p_any, kind),
        rejects("axis" if len(layers) == 1 else "axis (over layers)", p_axis, axis),
    ]


def _over_layers(layers: list[np.ndarray], family: LabelPermutations, resolved: list[bool]) -> float | None:
    """Test as a run is tested, with draws added in the best layer."""
    tests = AxisTests({"axis": family}, n_draws=DRAWS)
    units = [unit(deltas)[0].astype(np.float32) for deltas in layers]
    found = [tests.of_layer({"axis": Directions(each)}) for each in units]
    return tests.finish(found, lambda place, _: Directions(units[place]), {"axis": resolved})["axis"].p_value


def layer_test(world: Layers, rng: np.random.Generator) -> list[Outcome]:
    """Test for an axis in any of several layers."""
    layers, canonical = world.sample(rng)
    images = [f"image {i}" for i in range(world.pairs)]
    family = LabelPermutations(canonical, images, images, seed=int(rng.integers(2**31)))
    kind = POWER if world.coherence else FALSE_POSITIVES
    return _axis_outcomes(kind, list(layers), canonical, images, family)


def layer_choice(world: Layers, rng: np.random.Generator) -> list[Outcome]:
    """Look for the best of layers that are all alike: its peak, and its reading on the other half.

    There are two axes, at a cosine of .5, whose angle is read where both are most coherent.
    """
    layers, canonical = (
        np.concatenate(each, axis=axis)
        for each, axis in zip(
            zip(world.sample(rng), replace(world, cosine=0.5).sample(rng), strict=True), (1, 0), strict=True
        )
    )
    images = [f"image {i}" for i in range(len(canonical))]
    codes = 2 * np.repeat([0, 1], world.pairs) + ~canonical
    second = halves(codes, images)
    layout = Layout(2 * codes + second, images, 8)
    everything = np.repeat(np.eye(4), 2, axis=1)
    unions = [everything, everything * np.tile([1, 0], 4), everything * np.tile([0, 1], 4)]
    first, other = axis_effect(0), axis_effect(1)
    peaks: list[Statistic] = []
    coherence: tuple[list[Statistic], list[Statistic]] = ([], [])
    scores: tuple[list[float], list[float]] = ([], [])
    angles: tuple[list[Statistic], list[Statistic]] = ([], [])
    for deltas in layers:
        sums = sums_of_vectors(deltas, layout)
        peaks.append(balanced_coherence(sums.units.products(unions[0]), 0))
        for half in (0, 1):
            directions = sums.units.products(unions[1 + half])
            both = [balanced_coherence(directions, axis) for axis in (0, 1)]
            coherence[half].append(both[0])
            scores[half].append(min(each.value for each in both))
            raw = sums.raw.products(unions[1 + half])
            angles[half].append(corrected_cosine(raw, first, other))
    counts = sums_of_vectors(layers[0], layout).units.products(everything).counts
    split = split_reading(
        tuple([each.value for each in half] for half in coherence),
        coherence,
        reason=why_no_halves(counts, (0, 1)),
    )
    angle = split_reading(scores, angles, reason=why_no_halves(counts, (0, 1, 2, 3)))
    peak, _ = simultaneous_peak(peaks, seed=int(rng.integers(2**31)), n_draws=999)
    return [
        covers("axis_coherence.balanced.peak", peak, _truth(world)),
        covers("axis_coherence.split", split.estimate, _truth(world)),
        covers("vd_ei.split", angle.estimate, 0.5),
    ]


def sign_accuracy(world: SwapWorld, rng: np.random.Generator) -> list[Outcome]:
    """Accuracy of an axis direction on the half of the images that it was not fitted on, where an axis is resolved.

    The truth is that of the two directions that were fitted, on many other pairs.
    """
    deltas, codes, images = _of_axis(world.sample(rng))
    categories = [str(SPACE.categories[code]) for code in codes]
    fitted = fit_direction(np.zeros_like(deltas), deltas, categories, images, str(SPACE.axes[1]))
    assert fitted is not None
    canonical, second = codes == 2, halves(codes, images)
    others, other_codes = _many(world)
    true = 0.0
    for half in (False, True):
        used = second != half
        direction = deltas[used & canonical].mean(axis=0) - deltas[used & ~canonical].mean(axis=0)
        true += float((((others @ direction) > 0) == (other_codes == 2)).mean()) * float((~used).mean())
    return [covers("sign_accuracy", fitted.accuracy, true)]


def _of_axis(sample: Sample) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rows = np.flatnonzero(sample.codes // 2 == 1)
    return sample.deltas[rows], sample.codes[rows], [sample.images[row] for row in rows]


@lru_cache(maxsize=4)
def _many(world: SwapWorld) -> tuple[np.ndarray, np.ndarray]:
    alone = replace(world, pairs=20_000, layout="one")
    return _of_axis(alone.sample(np.random.default_rng(21)))[:2]


@lru_cache(maxsize=64)
def _of_layers(world: Layers) -> float:
    rng = np.random.default_rng(5)
    samples = (world.sample(rng) for _ in range(8))
    return float(np.mean([coherence_of(layers[0], canonical) for layers, canonical in samples]))


def _truth(world: Layers) -> float:
    """Return the coherence that all layers have."""
    return _of_layers(replace(world, pairs=40_000, layers=1))
