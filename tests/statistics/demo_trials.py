"""Studies of the demo's real deltas beyond one layer: two scales on the same pairs, and a layer that halves choose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import PairGroups
from vlmprobe.analysis.catalog import (
    AXIS_COHERENCE,
    AXIS_COHERENCE_BALANCED_PEAK,
    AXIS_COHERENCE_PERSPECTIVE,
    AXIS_COHERENCE_SPLIT,
    AXIS_COSINE,
    CONSISTENT,
    COUNTER,
    DELTA_COHERENCE,
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

from .demo_world import AXES, PAIRS, VD, axes_of_demo
from .outcomes import FALSE_POSITIVES, POWER, Outcome, covers, rejects
from .trials import DEPTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .demo_world import DemoWorld

__all__ = ["demo_difference", "demo_excess", "demo_perspectives", "demo_split"]

_HALVES = (CONSISTENT, COUNTER)


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
    axes = [axes_of_demo(each, codes_of_truth) for each in deltas]
    coherence = [_coherence(each, codes_of_truth) for each in deltas]
    kind = FALSE_POSITIVES if is_null else POWER
    outcomes = []
    for row in differences:
        if row.entry is DELTA_COHERENCE:
            place = AXES.index(row.target)
            true = coherence[1][place] - coherence[0][place]
        else:
            first, later = (
                float(each[one] @ each[other]) for one, other in [PAIRS[row.target]] for each in axes
            )
            true = abs(later) - abs(first) if row.entry is DELTA_VD_EI_SIZE else later - first
        outcomes += [
            covers(row.entry.name, row.estimate, true, row.target),
            rejects(row.entry.name, row.p_value, kind, row.target),
        ]
    for place, row in enumerate(axis_cosines(*states, layout, SPACE)):
        true = round(float(axes[0][place] @ axes[1][place]), 9)
        outcomes.append(covers(AXIS_COSINE.name, row.estimate, true, row.target))
    return outcomes


def demo_excess(world: DemoWorld, rng: np.random.Generator) -> list[Outcome]:
    """Compare the size of VD-EI with that of each of its controls, in one layer."""
    sample, (_, true) = world.sample(rng), world.truth()
    raw = sums_of_vectors(sample.deltas, Layout(sample.codes, sample.images, 6)).raw.products()
    angles = {
        target: corrected_cosine(raw, axis_effect(one), axis_effect(other))
        for target, (one, other) in PAIRS.items()
    }
    return [
        covers(
            VD_EI_EXCESS.name,
            contrast_of_sizes([angles[VD], angles[control]], (1, -1)).estimate(),
            abs(true[VD]) - abs(true[control]),
            control,
        )
        for control in PAIRS
        if control != VD
    ]


def demo_split(rng: np.random.Generator, *, world: DemoWorld, layers: Sequence[int]) -> list[Outcome]:
    """Coherence and angles at the layer that the other half of the images chose; the truth is that of these layers.

    Beside them the coherence of the best layer; its truth is the highest of the layers' own.
    """
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
    truths = {layer: each.truth() for layer, each in zip(layers, worlds, strict=True)}
    outcomes = []
    for metric in metrics:
        target, read = metric.target, chosen.get(metric.target)
        if metric.name == AXIS_COHERENCE_BALANCED_PEAK.name:
            true = max(each["axis"][AXES.index(target)] for each, _ in truths.values())
        elif metric.name == AXIS_COHERENCE_SPLIT.name and read:
            true = np.mean([truths[layer][0]["axis"][AXES.index(target)] for layer in read])
        elif metric.name == VD_EI_SPLIT.name and read:
            true = np.mean([truths[layer][1][target] for layer in read])
        elif metric.name in {AXIS_COHERENCE_SPLIT.name, VD_EI_SPLIT.name}:
            true = float("nan")
        else:
            continue
        outcomes.append(covers(metric.name, metric, float(true), target))
    return outcomes


def demo_perspectives(world: DemoWorld, rng: np.random.Generator) -> list[Outcome]:
    """Angles and coherence of either perspective, and the published coherence of all pairs."""
    deltas, codes = world.population()
    halves, rows = world.perspectives(), world.rows(rng)
    images = [str(place) for place in range(len(rows))]
    categories = [str(SPACE.categories[code]) for code in codes[rows]]
    drawn = deltas[rows]
    found = PerspectiveAxes(categories, halves[rows].tolist(), images)(np.zeros_like(drawn), drawn, layer=0)
    axes, depth = axes_of_demo(deltas, codes), [_axis(deltas, codes, halves == half) for half in _HALVES]
    first, second = (half / np.linalg.norm(half) for half in depth)
    equal = sum(depth) / np.linalg.norm(sum(depth))
    outcomes = []
    for metric in found.metrics:
        other = axes[AXES.index(metric.target.partition("/")[0])]
        true = {
            VD_EI_CONSISTENT.name: other @ first,
            VD_EI_COUNTER.name: other @ second,
            VD_EI_GAP.name: other @ first - other @ second,
            VD_EI_EQUAL.name: other @ equal,
        }
        outcomes.append(covers(metric.name, metric, float(true[metric.name]), metric.target))
    outcomes += [
        covers(
            AXIS_COHERENCE_PERSPECTIVE.name,
            found.coherence[Subset.ALL, half],
            world.pooled(DEPTH, half),
            half,
        )
        for half in _HALVES
    ]
    units = sums_of_vectors(drawn, Layout(codes[rows], images, 6)).units
    return outcomes + [
        covers(AXIS_COHERENCE.name, pooled_coherence(units, place).estimate(), world.pooled(place), axis)
        for place, axis in enumerate(AXES)
    ]


def _axis(deltas: np.ndarray, codes: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return the distance axis of some pairs, as long as it is."""
    far, close = (deltas[inside & (codes == 2 * DEPTH + end)].mean(axis=0) for end in (0, 1))
    return np.asarray((far - close) / 2)


def _coherence(deltas: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the (3,) coherences of some pairs' axes."""
    units = deltas / np.linalg.norm(deltas, axis=1)[:, None]
    means = np.stack([units[codes == code].mean(axis=0) for code in range(6)])
    return np.asarray(np.square((means[::2] - means[1::2]) / 2).sum(axis=1))
