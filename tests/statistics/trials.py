"""Studies of means and angles: whether intervals hold the truth."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import layer_metrics, unit
from vlmprobe.analysis.catalog import DELTA_VD_EI, DELTA_VD_EI_SIZE
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    category_mean,
    corrected_cosine,
    inner_product,
    order_coherence,
    pairwise_coherence,
    pooled_coherence,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import (
    Contrast,
    Scale,
    clustered_mean,
    contrast,
    contrast_of_sizes,
    paired_t,
    random_sign_p_values,
    wild_p_of_contrasts,
    wild_p_values,
)
from vlmprobe.pairs import SPACE

from .outcomes import BIAS, DRAWS, FALSE_POSITIVES, POWER, Outcome, covers, rejects
from .worlds import SwapWorld, Twins, coherence_of, directions, noise_spread, truth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.analysis.geometry import DeltaSums, Products
    from vlmprobe.analysis.inference import Statistic

    from .worlds import Sample

__all__ = ["geometry", "intervals", "paired_angles", "published", "quads", "twins", "two_angles"]

HEIGHT, DEPTH = 1, 2
ALIGNMENTS = "canonical", "published"


def geometry(world: SwapWorld, rng: np.random.Generator) -> list[Outcome]:
    """Coverage of all that follows from products of different images in one layer."""
    sample, true = world.sample(rng), truth(world)
    sums = sums_of_vectors(sample.deltas, Layout(sample.codes, sample.images, 6))
    found = intervals(sample, sums, true, world.cosine, world.control)
    if world.layout == "one":
        coherence = pooled_coherence(sums.units, HEIGHT).estimate()
        found.append(covers("axis_coherence", coherence, _pooled_truth(world, true)))
    found.append(_ratio(sample, rng, true["length"][2]))
    if world.cosine == world.control:
        found += _contrast(sums.raw.products(), rng, world.cosine)
    return found


def _pooled_truth(world: SwapWorld, true: Mapping[str, np.ndarray]) -> float:
    """Return the mean cosine of all pairs of pairs of one axis, an image each."""
    n, n_other = world.canonical_pairs, world.pairs - world.canonical_pairs
    across = (true["order"][1] * 4 - true["category"][2] - true["category"][3]) / 2
    pooled = n * (n - 1) * true["category"][2] + n_other * (n_other - 1) * true["category"][3]
    return float((pooled - 2 * n * n_other * across) / (world.pairs * (world.pairs - 1)))


def intervals(
    sample: Sample, sums: DeltaSums, true: Mapping[str, np.ndarray], cosine: float, control: float
) -> list[Outcome]:
    """Look which intervals of one study hold the truth."""
    directions, raw = sums.units.products(), sums.raw.products()
    height, depth, other = (axis_effect(axis) for axis in (HEIGHT, DEPTH, 0))
    above = sample.codes == 2 * HEIGHT
    lengths = np.linalg.norm(sample.deltas[above], axis=1)
    images = np.array(sample.images)[above].tolist()
    within = pairwise_coherence(directions, 2 * HEIGHT)
    norm = clustered_mean(lengths, images, scale=Scale.POSITIVE)
    return [
        covers("axis_coherence.balanced", balanced_coherence(directions, HEIGHT).estimate(), true["axis"][1]),
        covers("order_coherence", order_coherence(directions, HEIGHT).estimate(), true["order"][1]),
        covers("within_category_consistency", within.estimate(), true["category"][2]),
        covers("delta_norm", norm.estimate(), true["length"][2]),
        covers("vd_ei.corrected", corrected_cosine(raw, height, depth).estimate(), cosine),
        covers("vd_ei.corrected (control)", corrected_cosine(raw, other, height).estimate(), control),
    ]


def _ratio(sample: Sample, rng: np.random.Generator, length: float) -> Outcome:
    """Compare the lengths of deltas with those of the states, which are drawn apart."""
    above = sample.codes == 2 * HEIGHT
    ratios = np.linalg.norm(sample.deltas[above], axis=1) * np.exp(0.3 * rng.normal(size=above.sum()))
    estimate = clustered_mean(ratios, np.array(sample.images)[above], scale=Scale.POSITIVE).estimate()
    return covers("delta_ratio", estimate, length * np.exp(0.3**2 / 2))


def _contrast(raw: Products, rng: np.random.Generator, cosine: float) -> list[Outcome]:
    """Compare VD-EI with its control where both are equally large."""
    height, depth, other = (axis_effect(axis) for axis in (HEIGHT, DEPTH, 0))
    both = corrected_cosine(raw, height, depth), corrected_cosine(raw, other, height)
    gap = contrast_of_sizes(both, (1, -1))
    name = "vd_ei.excess"
    seed = int(rng.integers(2**31))
    p_values = wild_p_of_contrasts([gap, Contrast((both[0],))], seed=seed, n_draws=DRAWS)
    found = [covers(name, gap.estimate(), 0.0), rejects(name, p_values[0])]
    return found if cosine else [*found, rejects("vd_ei.corrected", p_values[1])]


def published(world: SwapWorld, rng: np.random.Generator) -> list[Outcome]:
    """Bias of published plug-ins, which have no interval."""
    sample = world.sample(rng)
    categories = [str(SPACE.categories[code]) for code in sample.codes]
    metrics = layer_metrics(
        np.zeros_like(sample.deltas), sample.deltas, categories, sample.images, layer=0, intervals=False
    )
    values = {(metric.name, metric.target): metric.value for metric in metrics}
    axes = f"{SPACE.axes[HEIGHT]}/{SPACE.axes[DEPTH]}"
    opposites = "/".join(SPACE.axes[HEIGHT].categories)
    true = {("vd_ei.eq3", axes): world.cosine, ("vd_ei.pooled", axes): world.cosine}
    true["delta_similarity", opposites] = -1.0
    if world.layout != "one":
        # Pairs of one image are alike, which the published mean over all pairs of pairs takes for coherence.
        of_pairs = truth(world)
        true["axis_coherence", str(SPACE.axes[HEIGHT])] = _pooled_truth(world, of_pairs)
        true["within_category_consistency", str(SPACE.categories[2 * HEIGHT])] = of_pairs["category"][2]
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


def two_angles(
    rng: np.random.Generator, *, pairs: int, theta: float, cosines: tuple[float, float]
) -> list[Statistic]:
    """Draw two checkpoints whose axes stand at different angles, with most noise in common; estimate their VD-EI."""
    seed = int(rng.integers(2**31))
    angles = []
    for cosine in cosines:
        world = SwapWorld(pairs=pairs, coherence=(theta,) * 3, cosine=cosine)
        # The same labels, images and noise; and some noise of the checkpoint's own.
        sample = world.sample(np.random.default_rng(seed))
        own = 0.5 * rng.normal(size=sample.deltas.shape) * noise_spread(world.dim)
        products = sums_of_vectors(sample.deltas + own, Layout(sample.codes, sample.images, 6)).raw.products()
        angles.append(corrected_cosine(products, axis_effect(HEIGHT), axis_effect(DEPTH)))
    return angles


def paired_angles(
    rng: np.random.Generator, *, pairs: int, theta: float, cosines: tuple[float, float]
) -> list[Outcome]:
    """Two checkpoints whose axes stand at different angles, with most noise in common: the difference of VD-EI."""
    angles = two_angles(rng, pairs=pairs, theta=theta, cosines=cosines)
    found = []
    for name, difference, true in (
        (DELTA_VD_EI.name, Contrast((contrast(angles, (-1, 1)),)), cosines),
        (DELTA_VD_EI_SIZE.name, contrast_of_sizes(angles, (-1, 1)), tuple(map(abs, cosines))),
    ):
        kind = FALSE_POSITIVES if true[0] == true[1] else POWER
        found += [
            covers(name, difference.estimate(), true[1] - true[0]),
            rejects(name, difference.p_value(), kind),
        ]
    return found


@lru_cache(maxsize=64)
def twin_truth(theta: float, dim: int) -> float:
    """Return the coherence of one checkpoint."""
    rng, world = np.random.default_rng(6), Twins(40_000, (theta, theta), 1.0, 0.0, dim=dim)
    samples = [world.sample(rng)[0] for _ in range(8)]
    return float(np.mean([coherence_of(each.deltas, each.codes == 0) for each in samples]))


def quads(
    rng: np.random.Generator,
    *,
    n: int,
    height: float,
    depth: float,
    an_image: int = 1,
    cosine: float = 0.0,
) -> list[Outcome]:
    """Test the alignment of quads whose two axes are orthogonal, or see it where they are not."""
    images = [f"image {i // an_image}" for i in range(n)]
    vectors = _vectors_of_quads(rng, n, height, depth, cosine)
    layout = Layout(np.repeat([0, 1], n), images * 2, 2)
    products = sums_of_vectors(np.vstack(vectors), layout).raw.products()
    statistic = inner_product(products, category_mean(0), category_mean(1))
    means = [each.mean(axis=0) for each in vectors]
    error = float(means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])) - cosine
    # Of consistent quads alone the published form is the same.
    biased = [Outcome(f"cross_axis_alignment.{kind} (of_means)", BIAS, None, error) for kind in ALIGNMENTS]
    cosines = (unit(vectors[0])[0] * unit(vectors[1])[0]).sum(axis=1)
    seed = int(rng.integers(2**31))
    p_value = wild_p_values([statistic], seed=seed, n_draws=DRAWS)[0]
    if cosine:
        mean = clustered_mean(cosines, images).estimate()
        return [
            *biased,
            rejects("cross_axis_alignment.canonical (of_means)", p_value, POWER),
            covers(
                "cross_axis_alignment.canonical (per_sample)", mean, _cosine_of_quads(height, depth, cosine)
            ),
        ]
    of_image = np.bincount(np.arange(n) // an_image, weights=cosines)
    symmetric = random_sign_p_values(of_image[None], of_image.sum()[None], seed=seed, n_draws=DRAWS)[0]
    # As they are: the questions of a quad name their objects in any order.
    raw = cosines * np.where(rng.random(n) < 0.5, 1.0, -1.0)
    return [
        rejects("cross_axis_alignment.canonical (of_means)", p_value),
        rejects("cross_axis_alignment.canonical (per_sample)", symmetric),
        covers("cross_axis_alignment.published (per_sample)", clustered_mean(raw, images).estimate(), 0.0),
        covers(
            "cross_axis_alignment.canonical (per_sample)", clustered_mean(cosines, images).estimate(), 0.0
        ),
    ]


def _vectors_of_quads(
    rng: np.random.Generator, n: int, height: float, depth: float, cosine: float
) -> list[np.ndarray]:
    """Draw (n, 96) sign-corrected deltas of either half of quads."""
    first, other = directions(96, 2, 17)
    axes = np.stack([first, cosine * first + np.sqrt(1 - cosine**2) * other])
    axes *= np.sqrt([[height / (1 - height)], [depth / (1 - depth)]])
    return [axis + rng.normal(size=(n, 96)) * noise_spread(96) for axis in axes]


@lru_cache(maxsize=16)
def _cosine_of_quads(height: float, depth: float, cosine: float) -> float:
    """Return the mean cosine of the two deltas of a quad."""
    vectors = _vectors_of_quads(np.random.default_rng(8), 100_000, height, depth, cosine)
    return float((unit(vectors[0])[0] * unit(vectors[1])[0]).sum(axis=1).mean())
