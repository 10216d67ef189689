"""How fast a CPU answers swap pairs with the demo's checkpoint, and how much memory a run takes.

    python benchmarks/extract_cpu.py [--pairs 240] [--memory 240 24000]

The loop is what people run: one question at a time, ``generate`` with hooks that copy each layer's last state.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from shapes import BUNDLED
from timing import describe, table

from vlmprobe.demo.benchmark import build_benchmark
from vlmprobe.extraction.image_loader import read_items
from vlmprobe.families import LoadOptions, load_family_class, open_family
from vlmprobe.pairs import read_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.families import BatchItem

BATCH = 16


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[])
    asked = parser.parse_args()
    print(f"{describe()}, {torch.get_num_threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        speed(folder, asked.pairs, asked.repeats)
        if asked.memory:
            memory(folder, asked.memory)


def speed(folder: Path, n_pairs: int, repeats: int) -> None:
    """Ask the same pairs both ways in turn, so that what else the machine does falls on both."""
    data = read_dataset(
        build_benchmark(folder / "speed", pairs_per_category=n_pairs // 6, seed=3).tsv, max_per_category=0
    )
    items, _ = read_items(data, data.pairs)
    family = load_family_class("tiny").load(LoadOptions(str(BUNDLED)))
    with open_family("tiny").load(LoadOptions(str(BUNDLED))) as model:

        def engine() -> None:
            begun = [model.submit(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]
            for each in begun:
                each.result()

        ways: dict[str, Callable[[], None]] = {
            "one question at a time": lambda: one_by_one(family, items),
            f"vlmprobe, {BATCH} pairs a batch": engine,
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        engine()
        for _ in range(repeats):
            for name, work in ways.items():
                started = time.perf_counter()
                work()
                taken[name].append(time.perf_counter() - started)
    rates = {name: len(items) / statistics.median(seconds) for name, seconds in taken.items()}
    slowest = min(rates.values())
    rows = [[name, f"{rate:.1f}", f"{rate / slowest:.2f}"] for name, rate in rates.items()]
    table([f"{len(items)} pairs, checkpoint 2m, medians of {repeats}", "pairs/s", "ratio"], rows)


@torch.inference_mode()
def one_by_one(family: Any, items: Sequence[BatchItem]) -> None:
    """Answer two questions a pair with the model's own ``generate``."""
    kept: list[torch.Tensor] = []

    def copy(_module: Any, _inputs: Any, output: Any) -> None:
        states = output if isinstance(output, torch.Tensor) else output[0]
        if states.shape[1] > 1:
            kept.append(states[0, -1].float().cpu())

    model = family.model
    handles = [layer.register_forward_hook(copy) for layer in model.model.language_model.layers]
    try:
        for item in items:
            for question in item.questions:
                family.plain_tokens(family.plain_inputs(item.image, question))
                kept.clear()
    finally:
        for handle in handles:
            handle.remove()


def memory(folder: Path, sizes: Sequence[int]) -> None:
    """Run ``vlmprobe extract`` on benchmarks of several sizes; print what each took at most."""
    rows = []
    for n_pairs in sizes:
        data = build_benchmark(folder / f"memory-{n_pairs}", pairs_per_category=n_pairs // 6, seed=4).tsv
        command = ["extract", "tiny", "--scale", "2m", "--data", data, "--max-per-category", "0"]
        command += ["--home", folder / f"home-{n_pairs}"]
        code = (
            "import resource, sys; from vlmprobe.cli.main import main\n"
            "try: main()\n"
            "except SystemExit: pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        started = time.perf_counter()
        ran = subprocess.run(
            [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - started
        peak = int(ran.stdout.split()[-1]) / 1024
        rows.append([f"{n_pairs}", f"{peak:.0f}", f"{data.stat().st_size / 2**20:.0f}", f"{seconds:.0f}"])
    table(["pairs", "peak MiB", "file MiB", "seconds"], rows)


if __name__ == "__main__":
    main()
