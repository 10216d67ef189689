"""Time the analysis beside the usual way: scikit-learn's N x N cosines, one compressed NPZ, one figure after another.

    python benchmarks/analyze.py [--pairs 1200 4800 19200] [--layers 36] [--no-whole] [--no-memory]

Three parts, one table. *Arithmetic*: the same layers, one after the other, through both; the numbers must be equal
to 1e-6. The usual way runs in float32, as scripts keep their states, and in float64, as we compute; ours once for the
same numbers, and once for all metrics of a run with boxes, with their intervals, 1,199 permutations and 4,999 draws of
signs, which the usual way has not; principal components stand apart. *The whole*:
from states in memory to stored numbers, stored states and figures on disk; ours are ``vlmprobe analyze`` and
``vlmprobe plot --layers all`` as processes, imports included. *Memory*: the peak of ``vlmprobe analyze``.

Where layers are many or large, the usual way is measured on some of them and scaled; the table says on how many.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import usual
from studies import Clock, InMemory, MadeUp, machine, make_home, run_vlmprobe, store_states

from vlmprobe.analysis import LayerMetrics, PairGroups
from vlmprobe.analysis.side_by_side import side_by_side
from vlmprobe.pairs import Subset
from vlmprobe.study import run_metrics as run_metrics_module
from vlmprobe.study.run_metrics import run_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.analysis import Metric

_TOLERANCE = 1e-6
_NAMES = {
    "within_category_consistency": ("mean", "std"),
    "axis_coherence": ("mean", "std"),
    "delta_similarity": ("cosine", None),
}


def our_numbers(metrics: list[Metric]) -> dict[tuple[str, str, str], float]:
    """Return our estimates under the names of the usual way's."""
    found = {}
    for metric in metrics:
        value_name, std_name = _NAMES.get(metric.name, (None, None))
        if value_name:
            found[metric.subset, value_name, metric.target] = metric.value
        if std_name:
            found[metric.subset, std_name, metric.target] = metric.std
    return found


def difference(ours: dict[tuple[str, str, str], float], theirs: dict[tuple[str, str, str], float]) -> float:
    """Return the largest difference between the same numbers."""
    assert ours.keys() == theirs.keys()
    return max(abs(ours[key] - theirs[key]) for key in ours)


@contextmanager
def without_components() -> Iterator[None]:
    """Compute no principal components meanwhile, so that the rest is timed, and not a difference of two times."""
    computed = run_metrics_module.explained_variance
    run_metrics_module.explained_variance = lambda *_: {}
    try:
        yield
    finally:
        run_metrics_module.explained_variance = computed


def arithmetic(pairs: int, args: argparse.Namespace) -> None:
    """Time one size and print its rows."""
    study = MadeUp(pairs, args.dim)
    # So that each size takes about as long; 1,200 pairs in full.
    our_layers = min(args.layers, args.max_layers, max(2, round(args.layers * 1200 / pairs)))
    usual_layers = min(our_layers, max(1, round(args.layers * (1200 / pairs) ** 2)))
    categories, images, right = np.array(study.categories), study.images, study.both_correct
    clocks = {name: Clock() for name in ("float32", "float64", "ours", "everything", "components")}
    planes = [study.layer(layer) for layer in range(our_layers)]
    prepared = LayerMetrics(PairGroups(study.categories, images, both_correct=right))
    groups = PairGroups(study.categories, images, both_correct=right)

    def of_layer(layer: int) -> list[Metric]:
        return prepared(groups.vectors(planes[layer][:, 0], planes[layer][:, 1], layer=layer), layer=layer)

    # As the workflow calls it: layers side by side, a thread each.
    size = 4 * planes[0].nbytes
    with clocks["ours"].running():
        found = list(side_by_side(of_layer, range(our_layers), bytes_each=size))
    run = InMemory(study, dict(enumerate(planes)))
    with clocks["everything"].running(), without_components():
        run_metrics(run, lambda _: None)
    chosen = [name for name, kept in zip(study.categories, right, strict=True) if kept]

    def components_of(layer: int) -> None:
        run_metrics_module.explained_variance(planes[layer], study.categories, layer, Subset.ALL)
        run_metrics_module.explained_variance(planes[layer][right], chosen, layer, Subset.BOTH_CORRECT)

    with clocks["components"].running():
        list(side_by_side(components_of, range(our_layers), bytes_each=size))
    apart = {"float32": 0.0, "float64": 0.0}
    for layer in range(usual_layers):
        ours = our_numbers(found[layer])
        for name, dtype in (("float32", np.float32), ("float64", np.float64)):
            orig, swap = planes[layer][:, 0].astype(dtype), planes[layer][:, 1].astype(dtype)
            with clocks[name].running():
                theirs = usual.metrics(orig, swap, categories, right)
            apart[name] = max(apart[name], difference(ours, theirs))
    assert apart["float64"] <= _TOLERANCE, apart
    of_ours = {
        name: clocks[name].scaled(args.layers / our_layers) for name in ("ours", "everything", "components")
    }
    of_usual = {name: clocks[name].scaled(args.layers / usual_layers) for name in ("float32", "float64")}
    labels = {
        "float32": f"scikit-learn, float32 ({usual_layers} layers)",
        "float64": f"scikit-learn, float64 ({usual_layers} layers)",
        "ours": f"ours, same numbers ({our_layers} layers)",
        "everything": f"ours, all metrics ({our_layers} layers)",
        "components": f"principal components ({our_layers} layers)",
    }
    for name, clock in (of_usual | of_ours).items():
        row = f"{pairs:6} {labels[name]:38}{clock.wall:9.2f}{clock.cpu:9.2f}"
        if name in of_usual:
            print(f"{row}{'':16}{apart[name]:12.0e}")
        else:
            ratios = "".join(f"{of_usual[base].wall / clock.wall:8.1f}" for base in of_usual)
            print(f"{row}{ratios}{'':12}{clock.cpu / pairs * 1000:10.2f}")


def whole(args: argparse.Namespace, folder: Path) -> None:
    """Time states in memory -> numbers, states and figures on disk."""
    study = MadeUp(args.pairs[0], args.dim)
    planes = {layer: study.layer(layer) for layer in range(args.layers)}
    settings = make_home(folder / "home", study, args.layers)
    ours = {"storage": Clock(), "arithmetic": Clock(), "figures": Clock()}
    with ours["storage"].running():
        store_states(settings, study, planes)
    with ours["arithmetic"].running():
        run_vlmprobe("analyze", "--home", settings.home)
    with ours["figures"].running():
        run_vlmprobe("plot", "--layers", "all", "--variant", "all", "--home", settings.home)
    drawn = len(list(settings.home.rglob("plots/**/*.png")))

    usual_layers = min(args.layers, args.usual_layers)
    theirs = {"storage": Clock(), "arithmetic": Clock(), "figures": Clock()}
    categories, right = np.array(study.categories), study.both_correct
    kept: dict[str, np.ndarray] = {}
    out = folder / "usual"
    out.mkdir()
    for layer in range(usual_layers):
        orig, swap = planes[layer][:, 0].copy(), planes[layer][:, 1].copy()
        with theirs["arithmetic"].running():
            found = usual.metrics(orig, swap, categories, right)
        kept |= usual.members(layer, orig, swap, categories)
        with theirs["figures"].running():
            usual.figures(out, layer, orig, swap, categories, found)
    with theirs["storage"].running():
        np.savez_compressed(out / "vectors.npz", **kept)
    factor = args.layers / usual_layers
    scaled = {name: clock.scaled(factor) for name, clock in theirs.items()}
    scaled["total"] = sum(scaled.values(), Clock())
    ours["total"] = sum(ours.values(), Clock())

    print(f"\nThe whole, {args.layers} layers x {study.pairs} pairs x {args.dim}")
    print(f"{'':12}{'usual s':>10}{'CPU s':>9}{'ours s':>10}{'CPU s':>9}{'ratio':>8}")
    for name in ("arithmetic", "storage", "figures", "total"):
        a, b = scaled[name], ours[name]
        print(f"{name:12}{a.wall:10.1f}{a.cpu:9.1f}{b.wall:10.1f}{b.cpu:9.1f}{a.wall / b.wall:8.1f}")
    print(
        f"usual: {3 * args.layers} figures, {usual_layers} layers measured and scaled; ours: {drawn} figures, among "
        "them the same; its arithmetic has\nintervals, tests, principal components, rows and MLflow in it, its storage "
        "bfloat16 shards and rows"
    )


def memory(args: argparse.Namespace, folder: Path) -> None:
    """Print the peak of ``analyze`` for few and many layers."""
    print(f"\nMemory of vlmprobe analyze, {args.pairs[0]} pairs x {args.dim}")
    print(f"{'layers':>8}{'peak MiB':>10}{'states MiB':>12}")
    for layers in (6, 94):
        study = MadeUp(args.pairs[0], args.dim)
        settings = make_home(folder / f"home-{layers}", study, layers)
        store_states(settings, study, {layer: study.layer(layer % 4) for layer in range(layers)})
        peak = run_vlmprobe("analyze", "--home", settings.home)
        size = sum(path.stat().st_size for path in settings.spool.rglob("*.safetensors")) / 2**20
        print(f"{layers:8}{peak:10}{size:12.0f}")


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[1200, 4800, 19200])
    parser.add_argument("--layers", type=int, default=36)
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--usual-layers", type=int, default=6, help="measured of the usual way's whole")
    parser.add_argument("--no-arithmetic", action="store_true")
    parser.add_argument("--max-layers", type=int, default=36, help="measured of ours; more are scaled")
    parser.add_argument("--no-whole", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    args = parser.parse_args()
    if not args.no_arithmetic:
        print(f"Arithmetic of {args.layers} layers x {args.dim}, both subsets, seconds")
        print(
            f"{'pairs':>6} {'':38}{'wall':>9}{'CPU':>9}{'x f32':>8}{'x f64':>8}{'apart':>12}{'CPU/1000':>10}"
        )
        for pairs in args.pairs:
            arithmetic(pairs, args)
    with tempfile.TemporaryDirectory() as folder:
        if not args.no_whole:
            whole(args, Path(folder))
        if not args.no_memory:
            memory(args, Path(folder))
    print(machine("scikit-learn", "matplotlib"))


if __name__ == "__main__":
    main()
