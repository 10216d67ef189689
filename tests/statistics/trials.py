"""Studies of means and angles: whether intervals hold the truth."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import layer_metrics, unit
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    category_mean,
    corrected_cosine,
    inner_product,
    order_coherence,
    pairwise_coherence,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import clustered_mean, contrast, paired_t, size, wild_p_values
from vlmprobe.pairs import SPACE

from .outcomes import BIAS, DRAWS, FALSE_POSITIVES, POWER, Outcome, covers, rejects
from .worlds import Twins, coherence_of, directions, noise_spread, truth

if TYPE_CHECKING:
    from .worlds import SwapWorld

__all__ = ["geometry", "published", "quads", "twins"]

HEIGHT, DEPTH = 1, 2


def geometry(world: SwapWorld, rng: np.random.Generator) -> list[Outcome]:
    """Coverage of all that follows from products of different images in one layer."""
    sample, true = world.sample(rng), truth(world)
    sums = sums_of_vectors(sample.deltas, Layout(sample.codes, sample.images, 6))
    directions, raw = sums.units.products(), sums.raw.products()
    height, depth, other = axis_effect(HEIGHT), axis_effect(DEPTH), axis_effect(0)
    lengths = np.linalg.norm(sample.deltas, axis=1)
    above = sample.codes == 2 * HEIGHT
    names = np.array(sample.images)
    ei = corrected_cosine(raw, height, depth)
    controls = [corrected_cosine(raw, other, axis) for axis in (height, depth)]
    found = [
        covers("axis_coherence.balanced", balanced_coherence(directions, HEIGHT).estimate(), true["axis"][1]),
        covers("order_coherence", order_coherence(directions, HEIGHT).estimate(), true["order"][1]),
        covers("vd_ei.corrected", ei.estimate(), world.cosine),
        covers("vd_ei.corrected (control)", controls[0].estimate(), world.control),
        covers(
            "within_category_consistency",
            pairwise_coherence(directions, 2 * HEIGHT).estimate(),
            true["category"][2],
        ),
        covers("delta_norm", clustered_mean(lengths[above], names[above].tolist()), true["length"][2]),
    ]
    if world.layout == "one":
        joined = sums.units.products(np.array([[0, 0, 1, -1, 0, 0]]))
        share = world.share
        pooled = share**2 * true["category"][2] + (1 - share) ** 2 * true["category"][3]
        across = (true["order"][1] * 4 - true["category"][2] - true["category"][3]) / 2
        pooled -= 2 * share * (1 - share) * across
        found.append(covers("axis_coherence", pairwise_coherence(joined, 0).estimate(), pooled))
    if world.cosine == world.control:
        gap = contrast([size(ei), size(controls[0])], (1, -1))
        name = "delta.vd_ei.corrected (size, less its control)"
        p_values = wild_p_values([gap, ei], seed=int(rng.integers(2**31)), n_draws=DRAWS)
        found += [covers(name, gap.estimate(), 0.0), rejects(name, p_values[0])]
        found += [] if world.cosine else [rejects("vd_ei.corrected", p_values[1])]
    return found


def published(world: SwapWorld, rng: np.random.Generator) -> list[Outcome]:
    """Bias of published plug-ins, which have no interval."""
    sample = world.sample(rng)
    categories = [str(SPACE.categories[code]) for code in sample.codes]
    metrics = layer_metrics(
        np.zeros_like(sample.deltas), sample.deltas, categories, sample.images, layer=0, n_resamples=0
    )
    values = {(metric.name, metric.target): metric.value for metric in metrics}
    axes = f"{SPACE.axes[HEIGHT]}/{SPACE.axes[DEPTH]}"
    opposites = "/".join(SPACE.axes[HEIGHT].categories)
    true = {("vd_ei.eq3", axes): world.cosine, ("vd_ei.pooled", axes): world.cosine}
    true["delta_similarity", opposites] = -1.0
    return [Outcome(key[0], BIAS, None, values[key] - value) for key, value in true.items()]


def twins(world: Twins, rng: np.random.Generator) -> list[Outcome]:
    """Two checkpoints on the same pairs: difference of coherence, its test, and the cosine of their axes."""
    samples = world.sample(rng)
    layout = Layout(samples[0].codes, samples[0].images, 2)
    coherence = [
        balanced_coherence(sums_of_vectors(each.deltas, layout).units.products(), 0) for each in samples
    ]
    difference = contrast(coherence, (-1, 1))
    joint = sums_of_vectors(np.vstack([each.deltas for each in samples]), layout.twice()).raw.products()
    cosine = corrected_cosine(joint, axis_effect(0), axis_effect(1))
    true = [twin_truth(theta, world.dim) for theta in world.coherence]
    equal = world.coherence[0] == world.coherence[1]
    kind = FALSE_POSITIVES if equal else POWER
    return [
        covers("delta.axis_coherence.balanced", difference.estimate(), true[1] - true[0]),
        rejects("delta.axis_coherence.balanced", paired_t(difference), kind),
        covers("axis_cosine", cosine.estimate(), world.cosine),
    ]


@lru_cache(maxsize=64)
def twin_truth(theta: float, dim: int) -> float:
    """Return the coherence of one checkpoint."""
    rng, world = np.random.default_rng(6), Twins(40_000, (theta, theta), 1.0, 0.0, dim=dim)
    samples = [world.sample(rng)[0] for _ in range(8)]
    return float(np.mean([coherence_of(each.deltas, each.codes == 0) for each in samples]))


def quads(
    rng: np.random.Generator, *, n: int, height: float, depth: float, an_image: int = 1
) -> list[Outcome]:
    """Test the alignment of quads whose two axes are orthogonal."""
    axes = directions(96, 2, 17) * np.sqrt([[height / (1 - height)], [depth / (1 - depth)]])
    images = [f"image {i // an_image}" for i in range(n)]
    vectors = [axis + rng.normal(size=(n, 96)) * noise_spread(96) for axis in axes]
    layout = Layout(np.repeat([0, 1], n), images * 2, 2)
    products = sums_of_vectors(np.vstack(vectors), layout).raw.products()
    statistic = inner_product(products, category_mean(0), category_mean(1))
    cosines = (unit(vectors[0])[0] * unit(vectors[1])[0]).sum(axis=1)
    p_value = wild_p_values([statistic], seed=int(rng.integers(2**31)), n_draws=DRAWS)[0]
    return [
        rejects("cross_axis_alignment.canonical (of_means)", p_value),
        covers("cross_axis_alignment.canonical (per_sample)", clustered_mean(cosines, images), 0.0),
    ]
