"""The real deltas of the demo as a world: its pairs are the population, and a study draws images from them.

Real deltas are no Gaussian noise around an axis: near the output they are mixtures, of right and of wrong answers.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from vlmprobe.analysis.catalog import VD_EI_CORRECTED
from vlmprobe.analysis.entanglement import axis_pairs
from vlmprobe.analysis.geometry import (
    Layout,
    axis_effect,
    balanced_coherence,
    corrected_cosine,
    order_coherence,
    pairwise_coherence,
    sums_of_vectors,
)
from vlmprobe.analysis.inference import Scale, clustered_mean
from vlmprobe.pairs import SPACE

from .outcomes import Outcome, covers
from .worlds import Sample

__all__ = ["AXES", "FOLDER", "PAIRS", "VD", "DemoWorld", "axes_of_demo", "demo_study", "prepare"]

FOLDER = Path(__file__).resolve().parents[2] / ".cache" / "statistics-demo"
#: ``vanilla`` only to be compared with.
SCALES, LAYERS = ("vanilla", "400k", "800k", "2m"), (3, 4, 5)
AXES = tuple(map(str, SPACE.axes))
#: Targets of VD-EI and its controls -> the numbers of their axes; VD-EI itself comes first.
PAIRS = {"/".join(both): tuple(AXES.index(str(axis)) for axis in both) for both in axis_pairs(SPACE)}
VD = next(iter(PAIRS))


def prepare(folder: Path = FOLDER) -> Path:
    """Run the demo, unless it has been, and keep its deltas."""
    file = folder / "deltas.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        home = ["--home", str(folder / "home")]
        command = [sys.executable, "-m", "vlmprobe", "demo", "--scales", ",".join(SCALES), *home]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        from vlmprobe import Workspace

        workspace, found = Workspace.open(folder / "home"), {}
        for scale in SCALES:
            for layer in LAYERS:
                states = workspace.states(f"tiny/{scale}", layer=layer)
                found[f"{scale} {layer}"] = states.deltas.astype(np.float32)
                found["codes"] = np.array([SPACE.categories.index(name) for name in states.categories])
                found[f"{scale} right"] = states.both_correct
        rows = workspace.pairs(f"tiny/{scale}").to_pylist()
        halves = {row["pair_id"]: row["perspective"] or "" for row in rows}
        found["perspectives"] = np.array([halves[name] for name in states.pair_ids])
        np.savez(file, **found)
    return file


@lru_cache(maxsize=1)
def _deltas() -> dict[str, np.ndarray]:
    with np.load(prepare()) as file:
        return dict(file)


@dataclass(frozen=True)
class DemoWorld:
    """One layer of one of the demo's scales."""

    scale: str
    layer: int
    pairs: int
    """An axis, an image each."""
    only_right: bool = False
    """Whether the population is that of the pairs with both answers right."""

    def population(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n, D) deltas, 240 of all pairs, and their (n,) categories."""
        deltas, codes = _deltas()[f"{self.scale} {self.layer}"].astype(np.float64), _deltas()["codes"]
        inside = _deltas()[f"{self.scale} right"] if self.only_right else np.ones(len(codes), dtype=bool)
        return deltas[inside], codes[inside]

    def perspectives(self) -> np.ndarray:
        """Return (n,) of consistent, counter, or an empty text."""
        halves = _deltas()["perspectives"]
        return halves[_deltas()[f"{self.scale} right"]] if self.only_right else halves

    def sample(self, rng: np.random.Generator) -> Sample:
        """Draw pairs with replacement; each that is drawn counts as an image of its own."""
        deltas, codes = self.population()
        rows = self.rows(rng)
        return Sample(deltas[rows], codes[rows], [str(place) for place in range(len(rows))])

    def rows(self, rng: np.random.Generator) -> np.ndarray:
        """Draw (3 x pairs,) rows of the population; the same pairs of every scale and layer, where all are in it."""
        codes = self.population()[1]
        axes = [np.flatnonzero(codes // 2 == axis) for axis in range(3)]
        return np.concatenate([rng.choice(inside, size=self.pairs) for inside in axes])

    def pooled(self, axis: int, half: str | None = None) -> float:
        """Return the mean cosine of all pairs of an axis, or of its pairs of one perspective, sign-corrected."""
        deltas, codes = self.population()
        inside = codes // 2 == axis
        if half is not None:
            inside &= self.perspectives() == half
        signed = deltas[inside] * np.where(codes[inside] % 2 == 0, 1.0, -1.0)[:, None]
        mean = (signed / np.linalg.norm(signed, axis=1)[:, None]).mean(axis=0)
        return float(mean @ mean)

    def truth(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return what ``worlds.truth`` does, and the cosine of each pair of axes by its target."""
        return _truth(self.scale, self.layer, self.only_right)


@lru_cache(maxsize=16)
def _truth(scale: str, layer: int, only_right: bool) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    deltas, codes = DemoWorld(scale, layer, 1, only_right).population()
    lengths = np.linalg.norm(deltas, axis=1)
    units = np.stack([(deltas / lengths[:, None])[codes == code].mean(axis=0) for code in range(6)])
    halves, orders = (units[::2] - units[1::2]) / 2, (units[::2] + units[1::2]) / 2
    axes = axes_of_demo(deltas, codes)
    true = {
        "axis": np.square(halves).sum(axis=1),
        "order": np.square(orders).sum(axis=1),
        "category": np.square(units).sum(axis=1),
        "length": np.array([lengths[codes == code].mean() for code in range(6)]),
    }
    return true, {target: float(axes[one] @ axes[other]) for target, (one, other) in PAIRS.items()}


def axes_of_demo(deltas: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return the (3, D) axes of some pairs' deltas, of length 1."""
    means = np.stack([deltas[codes == code].mean(axis=0) for code in range(6)])
    axes: np.ndarray = (means[::2] - means[1::2]) / np.linalg.norm(means[::2] - means[1::2], axis=1)[:, None]
    return axes


def demo_study(world: DemoWorld, rng: np.random.Generator) -> list[Outcome]:
    """Coverage of what follows from products of different images: of every axis, angle and category."""
    sample, (true, angles) = world.sample(rng), world.truth()
    sums = sums_of_vectors(sample.deltas, Layout(sample.codes, sample.images, 6))
    units, raw = sums.units.products(), sums.raw.products()
    outcomes = []
    for place, axis in enumerate(AXES):
        for name, statistic, of in (
            ("axis_coherence.balanced", balanced_coherence(units, place), "axis"),
            ("order_coherence", order_coherence(units, place), "order"),
        ):
            outcomes.append(covers(name, statistic.estimate(), true[of][place], axis))
    for code, category in enumerate(map(str, SPACE.categories)):
        inside = sample.codes == code
        lengths = np.linalg.norm(sample.deltas[inside], axis=1)
        norm = clustered_mean(lengths, np.array(sample.images)[inside].tolist(), scale=Scale.POSITIVE)
        within = pairwise_coherence(units, code).estimate()
        outcomes += [
            covers("within_category_consistency", within, true["category"][code], category),
            covers("delta_norm", norm.estimate(), true["length"][code], category),
        ]
    for target, (one, other) in PAIRS.items():
        angle = corrected_cosine(raw, axis_effect(one), axis_effect(other)).estimate()
        name = VD_EI_CORRECTED.name if target == VD else f"{VD_EI_CORRECTED.name} (control)"
        outcomes.append(covers(name, angle, angles[target], "" if target == VD else target))
    return outcomes
