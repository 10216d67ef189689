"""Time the figures of a whole study: drawn by parallel processes, and one after another.

    python benchmarks/figures.py [--full] [--layers N] [--pairs N] [--processes N] [--format png|pdf|svg]

The study is made up: five scales, 36 decoder layers, 1,200 swap pairs. By default one scale's layers are drawn,
each as heatmap, principal components in 2-D and in 3-D, and every figure of curves and of accuracy for all five
scales; ``--full`` draws the layers of all five. Both ways draw the same figures with the same panels and points
into two folders, whose files must be equal byte for byte.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from vlmprobe.analysis.results import AccuracyPoint, LayerCurve, PeakPoint, PointCloud, SimilarityMatrix
from vlmprobe.figures import (
    Job,
    ablation,
    accuracy_bars,
    accuracy_over_scales,
    accuracy_trajectory,
    alignment_over_layers,
    category_validity_bars,
    draw_all,
    layer_curves,
    pca_3d,
    pca_panels,
    peaks_over_scales,
    scale_curves,
    shared_limits,
    similarity_heatmap,
    vd_ei_over_layers,
)
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

FAMILY = "qwen25"
SCALES = {"vanilla": 0, "80k": 80_000, "400k": 400_000, "800k": 800_000, "2m": 2_000_000}
AXIS_PAIRS = ("vertical/distance", "horizontal/vertical", "horizontal/distance")
SUBSETS = ("all", "both_correct")


@dataclass(frozen=True)
class Study:
    """The size of the study, and what its numbers are drawn from."""

    layers: int
    pairs: int
    rng: np.random.Generator

    def curves(self, metric: str, targets: tuple[str, ...], subset: str) -> list[LayerCurve]:
        """Return a bump over depth that grows with training, with noise and a band."""
        depth = np.linspace(0.0, 1.0, self.layers)
        found = []
        for step, (scale, samples) in enumerate(SCALES.items()):
            for target in targets:
                height = (0.1 + 0.15 * step) * self.rng.uniform(0.6, 1.0)
                noise = self.rng.normal(0.0, 0.01, self.layers)
                values = height * np.exp(-(((depth - 0.7) / 0.3) ** 2)) + noise
                found.append(
                    LayerCurve(
                        FAMILY,
                        scale,
                        samples,
                        metric,
                        target,
                        subset,
                        tuple(range(self.layers)),
                        tuple(values.tolist()),
                        tuple((values - 0.04).tolist()),
                        tuple((values + 0.04).tolist()),
                        self.pairs,
                    )
                )
        return found

    def cloud(self, scale: str, layer: int, components: int, *, states: bool) -> PointCloud:
        """Return as many points as pairs, or twice as many for the states of both sides."""
        labels = tuple(str(SPACE.categories[i % len(SPACE.categories)]) for i in range(self.pairs))
        centres = {str(name): self.rng.normal(0.0, 3.0, components) for name in SPACE.categories}
        points = np.stack([centres[name] for name in labels])
        sides: tuple[str, ...] = ()
        if states:
            points = np.concatenate([points, -points])
            sides = ("orig",) * self.pairs + ("swap",) * self.pairs
            labels *= 2
        points = points + self.rng.normal(0.0, 2.0, points.shape)
        return PointCloud(FAMILY, scale, layer, "all", points, labels, (0.4, 0.2, 0.1)[:components], sides)

    def matrix(self, scale: str, layer: int, subset: str) -> SimilarityMatrix:
        """Return cosines between random directions."""
        means = self.rng.normal(0.0, 1.0, (len(SPACE.categories), 8))
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        return SimilarityMatrix(FAMILY, scale, layer, subset, tuple(map(tuple, (means @ means.T).tolist())))

    def accuracies(self) -> tuple[list[AccuracyPoint], list[AccuracyPoint]]:
        """Return accuracy that grows with training, by axis and by category."""
        by_axis, by_category = [], []
        for step, (scale, samples) in enumerate(SCALES.items()):
            for name in (*SPACE.axes, "overall"):
                by_axis.append(AccuracyPoint(FAMILY, scale, samples, str(name), *self._three(step)))
            for name in SPACE.categories:
                numbers = self._three(step)
                reliable = min(numbers[1], numbers[4]) >= 0.5
                by_category.append(AccuracyPoint(FAMILY, scale, samples, str(name), *numbers, reliable))
        return by_axis, by_category

    def _three(self, step: int) -> tuple[int, float, float, float, float, float, float, float, float, float]:
        numbers: list[float] = []
        for chance in (0.4, 0.4, 0.2):
            right = int(self.pairs * min(1.0, chance + 0.12 * step + self.rng.uniform(0.0, 0.1)))
            bounds = binomtest(right, self.pairs).proportion_ci(method="wilson")
            numbers += [right / self.pairs, bounds.low, bounds.high]
        a, b, c, d, e, f, g, h, i = numbers
        return self.pairs, a, b, c, d, e, f, g, h, i


def plan(study: Study, folder: Path, file_format: str, scales: list[str]) -> list[Job]:
    """List every figure of the study: those of each layer for ``scales``, the rest for all."""
    jobs: list[Job] = []

    def add(name: str, function: Callable[..., Figure], **arguments: object) -> None:
        jobs.append(Job(function, arguments, folder / f"{name}.{file_format}", file_format))

    for scale in scales:
        for layer in range(study.layers):
            name = f"{scale}_L{layer}"
            add(f"heatmap/{name}", similarity_heatmap, matrix=study.matrix(scale, layer, "all"))
            states = study.cloud(scale, layer, 2, states=True)
            deltas = study.cloud(scale, layer, 2, states=False)
            add(f"pca/{name}", pca_panels, states=states, deltas=deltas)
            add(f"pca_3d/{name}", pca_3d, clouds=study.cloud(scale, layer, 3, states=False))
    for subset in SUBSETS:
        for metric, targets in (
            ("axis_coherence", tuple(map(str, SPACE.axes))),
            ("within_category_consistency", tuple(map(str, SPACE.categories))),
            ("vd_ei.pooled", AXIS_PAIRS),
            ("cross_axis_alignment.canonical", ("per_sample", "of_means")),
        ):
            add_curves(add, study, metric, targets, subset)
    add_accuracy(add, study)
    return jobs


def add_curves(
    add: Callable[..., None], study: Study, metric: str, targets: tuple[str, ...], subset: str
) -> None:
    """Add a metric's figure for each scale on one y range, and across the scales."""
    curves = study.curves(metric, targets, subset)
    alignment = metric.startswith("cross_axis_alignment")
    controls = study.curves(metric, ("per_sample",), subset) if alignment else []
    limits = shared_limits([*curves, *controls])
    for scale in SCALES:
        shown = [curve for curve in curves if curve.scale == scale]
        control = {"controls": [one for one in controls if one.scale == scale]} if alignment else {}
        function = alignment_over_layers if alignment else scale_curves
        add(f"{subset}/{metric}_{scale}", function, curves=shown, limits=limits, **control)
    across = vd_ei_over_layers if metric.startswith("vd_ei") else layer_curves
    add(f"{subset}/{metric}_across_scales", across, curves=curves, limits=limits)


def add_accuracy(add: Callable[..., None], study: Study) -> None:
    """Add the figures of accuracy and of peaks."""
    by_axis, by_category = study.accuracies()
    peaks = []
    for step, (scale, samples) in enumerate(SCALES.items()):
        for axis in SPACE.axes:
            value = 0.2 + 0.1 * step + float(study.rng.uniform(0.0, 0.1))
            where = min(study.layers - 1, 20 + step)
            bounds = (value - 0.05, value + 0.05)
            peaks.append(
                PeakPoint(
                    FAMILY,
                    scale,
                    samples,
                    "axis_coherence",
                    str(axis),
                    "all",
                    where,
                    value,
                    *bounds,
                    study.pairs,
                )
            )
    add("accuracy/over_scales", accuracy_over_scales, points=by_axis)
    add("accuracy/bars", accuracy_bars, points=by_axis)
    add("accuracy/trajectory", accuracy_trajectory, points=by_axis)
    add("accuracy/trajectory_by_category", accuracy_trajectory, points=by_category)
    add("accuracy/category_validity", category_validity_bars, points=by_category)
    add("peaks", peaks_over_scales, peaks=peaks)
    add("ablation", ablation, points=by_axis, peaks=peaks)


def main() -> None:
    """Draw everything twice and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the layers of all five scales, not of one")
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument("--processes", type=int, default=None, help="default: the processors of this machine")
    parser.add_argument("--format", default="png", choices=["png", "pdf", "svg"])
    args = parser.parse_args()
    scales = list(SCALES) if args.full else ["2m"]
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

    with tempfile.TemporaryDirectory() as folder:
        times: dict[str, float] = {}
        files: dict[str, list[bytes]] = {}
        for name, processes in (("parallel", args.processes), ("one after another", 1)):
            # The same seed: the same panels and points.
            study = Study(args.layers, args.pairs, np.random.default_rng(0))
            jobs = plan(study, Path(folder, name), args.format, scales)
            started = time.perf_counter()
            paths = draw_all(jobs, processes=processes)
            times[name] = time.perf_counter() - started
            files[name] = [path.read_bytes() for path in paths]
        if files["parallel"] != files["one after another"]:
            sys.exit("the two ways did not write the same bytes")

    count, size = len(files["parallel"]), sum(map(len, files["parallel"])) / 2**20
    print(
        f"{count} figures ({size:.1f} MiB of {args.format}), {args.layers} layers of {len(scales)} of 5 scales, "
        f"{args.pairs} pairs"
    )
    print(f"{'':20}{'seconds':>10}{'figures/s':>12}")
    for name, seconds in times.items():
        print(f"{name:20}{seconds:10.1f}{count / seconds:12.2f}")
    ratio = times["one after another"] / times["parallel"] if times["parallel"] else math.nan
    print(f"{'ratio':20}{ratio:10.2f}")
    print(
        f"{args.processes or processors} processes on {processors} processors, load {os.getloadavg()[0]:.1f}; "
        f"{platform.machine()}, Python {platform.python_version()}, "
        f"matplotlib {mpl.__version__}, NumPy {np.__version__}"
    )


if __name__ == "__main__":
    main()
