"""Studies of several checkpoints and of several trainings: slopes over training, and means over trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from vlmprobe.analysis.above_control import differences_above_control
from vlmprobe.analysis.catalog import TREND_ACCURACY, TREND_COHERENCE, TREND_VD_EI_SIZE
from vlmprobe.analysis.comparison import Geometry, SharedPairs
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.trainings import over_trainings
from vlmprobe.analysis.trend import accuracy_trend, geometry_trend, trend_coefficients
from vlmprobe.pairs import SPACE

from .outcomes import FALSE_POSITIVES, POWER, Outcome, covers, rejects
from .trials import DEPTH, HEIGHT, twin_truth
from .worlds import SwapWorld, Twins, directions, noise_spread

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AMOUNTS",
    "OVER_TRAININGS",
    "above_controls",
    "accuracies_over_scales",
    "axes_over_scales",
    "sizes_over_scales",
    "trainings",
]

#: Samples seen by the checkpoints of a study, as in the paper.
AMOUNTS = (0, 80_000, 400_000, 800_000, 2_000_000)
OVER_TRAININGS = "mean over trainings"


def axes_over_scales(
    rng: np.random.Generator, *, pairs: int, thetas: Sequence[float], turning: float
) -> list[Outcome]:
    """Five checkpoints with noise in common; from one to the next the axis turns, and its coherence may change."""
    world = Twins(pairs)
    first, second = directions(world.dim, 2, 11)
    canonical = rng.permutation(np.arange(pairs) < pairs // 2)
    signs = np.where(canonical, 1.0, -1.0)[:, None]
    layout = Layout((~canonical).astype(np.int64), [str(i) for i in range(pairs)], 2)
    common = rng.normal(size=(pairs, world.dim))
    readings = []
    for place, theta in enumerate(thetas):
        axis = np.cos(turning * place) * first + np.sin(turning * place) * second
        noise = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.normal(size=(pairs, world.dim))
        deltas = signs * axis * np.sqrt(theta / (1 - theta)) + noise * noise_spread(world.dim)
        units = sums_of_vectors(deltas, layout).units.products()
        readings.append(Geometry({"axis": balanced_coherence(units, 0)}, {}))
    (slope,) = geometry_trend(readings, AMOUNTS, {"axis": pairs})
    true = float(trend_coefficients(AMOUNTS) @ [twin_truth(theta, world.dim) for theta in thetas])
    kind = FALSE_POSITIVES if len(set(thetas)) == 1 else POWER
    name = TREND_COHERENCE.name
    return [covers(name, slope.estimate, true), rejects(name, slope.p_value, kind)]


def above_controls(
    rng: np.random.Generator,
    *,
    pairs: int,
    thetas: tuple[float, float],
    controls: tuple[float, float],
    an_image: int = 1,
) -> list[Outcome]:
    """Two checkpoints and the control of each, with noise in common; a control's axis is in part that of its run."""
    dim = 96
    space, word = directions(dim, 2, 12)
    canonical = rng.permutation(np.arange(pairs) < pairs // 2)
    signs = np.where(canonical, 1.0, -1.0)[:, None]
    images = [str(i // an_image) for i in range(pairs)]
    layout = Layout((~canonical).astype(np.int64), images, 2)
    of_image = rng.normal(size=(pairs, dim))[np.arange(pairs) // an_image]
    common = (of_image + rng.normal(size=(pairs, dim))) / np.sqrt(2)
    readings = []
    for theta, axis in zip((*thetas, *controls), (space, space, 0.6 * space + 0.8 * word, word), strict=True):
        noise = np.sqrt(0.8) * common + np.sqrt(0.2) * rng.normal(size=(pairs, dim))
        deltas = signs * axis * np.sqrt(theta / (1 - theta)) + noise * noise_spread(dim)
        units = sums_of_vectors(deltas, layout).units.products()
        readings.append(Geometry({"axis": balanced_coherence(units, 0)}, {}))
    runs, blind = (readings[0], readings[1]), (readings[2], readings[3])
    (row,) = differences_above_control(runs, blind, "grey", {"axis": pairs})
    before, after, below, above = (twin_truth(theta, dim) for theta in (*thetas, *controls))
    return [covers(row.entry.name, row.estimate, (after - above) - (before - below))]


def sizes_over_scales(
    rng: np.random.Generator, *, pairs: int, theta: float, cosines: Sequence[float]
) -> list[Outcome]:
    """Five checkpoints whose vertical and distance axes stand at given angles, with most noise in common."""
    seed, readings = int(rng.integers(2**31)), []
    for cosine in cosines:
        world = SwapWorld(pairs=pairs, coherence=(theta,) * 3, cosine=cosine)
        # The same labels, images and noise; and some noise of the checkpoint's own.
        sample = world.sample(np.random.default_rng(seed))
        own = 0.5 * rng.normal(size=sample.deltas.shape) * noise_spread(world.dim)
        raw = sums_of_vectors(sample.deltas + own, Layout(sample.codes, sample.images, 6)).raw.products()
        readings.append(
            Geometry({}, {"axes": corrected_cosine(raw, axis_effect(HEIGHT), axis_effect(DEPTH))})
        )
    (slope,) = geometry_trend(readings, AMOUNTS, {"axes": pairs})
    true = float(trend_coefficients(AMOUNTS) @ np.abs(cosines))
    kind = FALSE_POSITIVES if len({abs(cosine) for cosine in cosines}) == 1 else POWER
    name = TREND_VD_EI_SIZE.name
    return [covers(name, slope.estimate, true), rejects(name, slope.p_value, kind)]


def accuracies_over_scales(
    rng: np.random.Generator, *, images: int, an_image: int, shares: Sequence[float], own: float
) -> list[Outcome]:
    """Five checkpoints that get a share of the pairs right; what is easy for one is easy for the others, mostly."""
    n = images * an_image
    names = [str(i // an_image) for i in range(n)]
    # A pair's difficulty, half of it its image's; ranks make the shares exact whatever its distribution.
    common = (rng.normal(size=(n, 1)) + rng.normal(size=(images, 1)).repeat(an_image, axis=0)) / np.sqrt(2)
    mixed = np.sqrt(1 - own) * common + np.sqrt(own) * rng.normal(size=(n, len(shares)))
    answers = [mixed[:, place] < ndtri(share) for place, share in enumerate(shares)]
    category = str(SPACE.categories[0])
    pairs = SharedPairs(tuple(map(str, range(n))), (category,) * n, tuple(names), (None,) * n)
    (slope,) = (row for row in accuracy_trend(answers, AMOUNTS, pairs) if row.target == str(SPACE.axes[0]))
    true = float(trend_coefficients(AMOUNTS) @ shares)
    kind = FALSE_POSITIVES if len(set(shares)) == 1 else POWER
    name = TREND_ACCURACY.name
    return [covers(name, slope.estimate, true), rejects(name, slope.p_value, kind)]


def trainings(rng: np.random.Generator, *, count: int, between: float, truth: float) -> list[Outcome]:
    """So many trainings of one scale, each read with an error of .05 over its images."""
    values = truth + between * rng.normal(size=count) + 0.05 * rng.normal(size=count)
    found = over_trainings([Estimate(float(value), 80, se=0.05) for value in values])
    kind = POWER if truth else FALSE_POSITIVES
    return [
        covers(OVER_TRAININGS, found.estimate, truth),
        rejects(OVER_TRAININGS, found.p_value, kind),
    ]
