"""Studies of the demo's real deltas beyond one layer: two scales on the same pairs, and a layer that halves choose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import PairGroups
from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE,
    AXIS_COHERENCE_PERSPECTIVE,
    AXIS_COHERENCE_SPLIT,
    AXIS_COSINE,
    CONSISTENT,
    COUNTER,
    DELTA_COHERENCE,
    DELTA_VD_EI,
    DELTA_VD_EI_SIZE,
    VD_EI_CONSISTENT,
    VD_EI_COUNTER,
    VD_EI_EQUAL,
    VD_EI_EXCESS,
    VD_EI_GAP,
    VD_EI_SPLIT,
)
from vlmprobe.analysis.comparison import axis_cosines, geometry_differences, read_geometry
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    pooled_coherence,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import contrast_of_sizes
from vlmprobe.analysis.layer_reading import LayerReadings
from vlmprobe.analysis.perspective_axes import PerspectiveAxes
from vlmprobe.pairs import SPACE, Subset

from .demo_world import axes_of_demo
from .outcomes import FALSE_POSITIVES, POWER, Outcome, covers, rejects
from .trials import DEPTH, HEIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .demo_world import DemoWorld

__all__ = ["demo_difference", "demo_excess", "demo_perspectives", "demo_split"]

_HEIGHT = str(SPACE.axes[HEIGHT])
_BOTH = f"{SPACE.axes[HEIGHT]}/{SPACE.axes[DEPTH]}"


def demo_difference(
    rng: np.random.Generator, *, worlds: tuple[DemoWorld, DemoWorld], exchanged: bool = False
) -> list[Outcome]:
    """Compare two scales in one layer on the same pairs.

    Where they are ``exchanged``, each pair's two deltas belong to the two checkpoints by chance, so that there is no
    difference. Where they are one scale, half of the later checkpoint's deltas are those of other pairs of their
    category: there is no difference, and the two do not err alike.
    """
    deltas = [world.population()[0] for world in worlds]
    codes, rows = worlds[0].population()[1], worlds[0].rows(rng)
    drawn = [each[rows] for each in deltas]
    is_null = exchanged or worlds[0] == worlds[1]
    if worlds[0] == worlds[1]:
        others = np.array([rng.choice(np.flatnonzero(codes == code)) for code in codes[rows]])
        drawn[1] = np.where((rng.random(len(rows)) < 0.5)[:, None], deltas[1][others], drawn[1])
    if exchanged:
        turned = (rng.random(len(rows)) < 0.5)[:, None]
        drawn = [np.where(turned, *drawn), np.where(turned, *drawn[::-1])]
        deltas = [np.concatenate(deltas)] * 2
        codes_of_truth = np.tile(codes, 2)
    else:
        codes_of_truth = codes
    layout = Layout(codes[rows], [str(place) for place in range(len(rows))], 6)
    states = [(np.zeros_like(each), each) for each in drawn]
    counts = {str(axis): worlds[0].pairs for axis in SPACE.axes} | {
        f"{one}/{other}": 2 * worlds[0].pairs for one in SPACE.axes for other in SPACE.axes
    }
    differences = geometry_differences(*(read_geometry(each, layout, SPACE) for each in states), counts)
    found = {(row.entry.name, row.target): row for row in differences}
    axes = [axes_of_demo(each, codes_of_truth) for each in deltas]
    angles = [float(each[HEIGHT] @ each[DEPTH]) for each in axes]
    coherence = [_coherence(each, codes_of_truth) for each in deltas]
    outcomes = []
    for entry, target, true in (
        (DELTA_COHERENCE, _HEIGHT, coherence[1] - coherence[0]),
        (DELTA_VD_EI, _BOTH, angles[1] - angles[0]),
        (DELTA_VD_EI_SIZE, _BOTH, abs(angles[1]) - abs(angles[0])),
    ):
        row = found[entry.name, target]
        kind = FALSE_POSITIVES if is_null else POWER
        outcomes += [covers(entry.name, row.estimate, true), rejects(entry.name, row.p_value, kind)]
    cosine = axis_cosines(*states, layout, SPACE)[HEIGHT]
    return [
        *outcomes,
        covers(AXIS_COSINE.name, cosine.estimate, round(float(axes[0][HEIGHT] @ axes[1][HEIGHT]), 9)),
    ]


def demo_excess(world: DemoWorld, rng: np.random.Generator) -> list[Outcome]:
    """Compare the size of VD-EI with that of its control, in one layer."""
    sample = world.sample(rng)
    raw = sums_of_vectors(sample.deltas, Layout(sample.codes, sample.images, 6)).raw.products()
    height, depth, other = (axis_effect(axis) for axis in (HEIGHT, DEPTH, 0))
    both = corrected_cosine(raw, height, depth), corrected_cosine(raw, other, height)
    gap = contrast_of_sizes(both, (1, -1))
    _, vd, hv = world.truth()
    return [covers(VD_EI_EXCESS.name, gap.estimate(), abs(vd) - abs(hv))]


def demo_split(rng: np.random.Generator, *, world: DemoWorld, layers: Sequence[int]) -> list[Outcome]:
    """Coherence and VD-EI at the layer that the other half of the images chose; the truth is that of these layers."""
    worlds = [replace(world, layer=layer) for layer in layers]
    codes, rows = world.population()[1], world.rows(rng)
    names = [str(SPACE.categories[code]) for code in codes[rows]]
    groups = PairGroups(names, [str(place) for place in range(len(rows))])
    readings = LayerReadings(groups)
    halves, coherence = {}, {}
    for layer, each in zip(layers, worlds, strict=True):
        deltas = each.population()[0][rows]
        products = groups.products(np.zeros_like(deltas), deltas)
        halves[layer] = readings(products)
        coherence[layer] = {
            (Subset.ALL, str(axis)): balanced_coherence(products.units[Subset.ALL], place)
            for place, axis in enumerate(SPACE.axes)
        }
    metrics, results = readings.over_layers(halves, coherence)
    (chosen,) = (row["value"] for row in results)
    outcomes = []
    for entry, target in ((AXIS_COHERENCE_SPLIT, _HEIGHT), (VD_EI_SPLIT, _BOTH)):
        (metric,) = (each for each in metrics if (each.name, each.target) == (entry.name, target))
        true = float("nan")
        if chosen[target]:
            truths = [replace(world, layer=layer).truth() for layer in chosen[target]]
            true = float(
                np.mean(
                    [each[0]["axis"][HEIGHT] if entry is AXIS_COHERENCE_SPLIT else each[1] for each in truths]
                )
            )
        outcomes.append(covers(entry.name, metric, true))
    return outcomes


def demo_perspectives(world: DemoWorld, rng: np.random.Generator) -> list[Outcome]:
    """Angles and coherence of either perspective, and the published coherence of all pairs."""
    deltas, codes = world.population()
    halves, rows = world.perspectives(), world.rows(rng)
    images = [str(place) for place in range(len(rows))]
    categories = [str(SPACE.categories[code]) for code in codes[rows]]
    drawn = deltas[rows]
    found = PerspectiveAxes(categories, halves[rows].tolist(), images)(np.zeros_like(drawn), drawn, layer=0)
    metrics = {each.name: each for each in found.metrics if each.target == _BOTH}
    height = axes_of_demo(deltas, codes)[HEIGHT]
    axes = [_axis(deltas, codes, halves == half) for half in (CONSISTENT, COUNTER)]
    first, second = (float(height @ axis) / float(np.linalg.norm(axis)) for axis in axes)
    both = axes[0] + axes[1]
    true = {
        VD_EI_CONSISTENT.name: first,
        VD_EI_COUNTER.name: second,
        VD_EI_GAP.name: first - second,
        VD_EI_EQUAL.name: float(height @ both) / float(np.linalg.norm(both)),
    }
    outcomes = [covers(name, metrics[name], value) for name, value in true.items()]
    outcomes += [
        covers(AXIS_COHERENCE_PERSPECTIVE.name, found.coherence[Subset.ALL, half], world.pooled(DEPTH, half))
        for half in (CONSISTENT, COUNTER)
    ]
    units = sums_of_vectors(drawn, Layout(codes[rows], images, 6)).units
    coherence = pooled_coherence(units, HEIGHT).estimate()
    return [*outcomes, covers(AXIS_COHERENCE.name, coherence, world.pooled(HEIGHT))]


def _axis(deltas: np.ndarray, codes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the distance axis of some pairs, as long as it is."""
    far, close = (deltas[inside & (codes == 2 * DEPTH + end)].mean(axis=0) for end in (0, 1))
    return np.asarray((far - close) / 2)


def _coherence(deltas: np.ndarray, codes: np.ndarray) -> float:
    units = deltas / np.linalg.norm(deltas, axis=1)[:, None]
    axis = (units[codes == 2 * HEIGHT].mean(axis=0) - units[codes == 2 * HEIGHT + 1].mean(axis=0)) / 2
    return float(axis @ axis)
