"""How likely certificates find a fault of single rows: which pairs they look at, and what they notice.

    python benchmarks/detection.py [--pairs 1200] [--batch 64] [--draws 2000]

Faults are put into made-up outputs of a run's batches: a row gets the states of its neighbor. The batches and pairs
are chosen, and the outputs compared, as an extraction does it. Answers stay right, so that only states can tell.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vlmprobe.extraction.certification import choose_pairs
from vlmprobe.families import BatchItem, BatchOutput, certified_batches, compare

if TYPE_CHECKING:
    from collections.abc import Callable

    Hit = Callable[[np.random.Generator, int, int], set[int]]

LAYERS, DIM = 12, 64
IMAGE = Image.new("RGB", (8, 8))
#: Which rows of a batch are wrong, from (generator, batch, its rows).
FAULTS: dict[str, Hit] = {
    "the last row of each batch": lambda _, __, n: {n - 1},
    "one row of each batch, anywhere": lambda g, _, n: {int(g.integers(n))},
    "the same row of each batch": lambda _, __, n: {17 % n},
    "one row in 20": lambda g, _, n: set(np.flatnonzero(g.random(n) < 0.05).tolist()),
    "a quarter of the rows of each batch": lambda _, __, n: set(range(n // 4)),
    "every row of the first batch": lambda _, batch, n: set() if batch else set(range(n)),
}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--draws", type=int, default=2000)
    asked = parser.parse_args()
    sizes = [min(asked.batch, asked.pairs - start) for start in range(0, asked.pairs, asked.batch)]
    generator = np.random.default_rng(0)
    print(f"{asked.pairs} pairs in batches of {asked.batch}; {len(certified_batches(sizes))} are certified")
    print(
        f"{'share of runs whose fault is':44}{'looked at':>10}{'found':>8}{'found, bf16 without float32':>30}"
    )
    for name, hit in FAULTS.items():
        looked, found, faint = np.mean([trial(sizes, hit, generator) for _ in range(asked.draws)], axis=0)
        print(f"{name:44}{looked:10.3f}{found:8.3f}{faint:30.3f}")
    false = np.mean([trial(sizes, lambda *_: set(), generator)[1:] for _ in range(asked.draws)], axis=0)
    print(f"{'no fault: false alarms':44}{'':10}{false[0]:8.4f}{false[1]:30.4f}")


def trial(sizes: list[int], hit: Hit, generator: np.random.Generator) -> tuple[bool, bool, bool]:
    """Draw a run; return whether a faulty row was looked at, found, and found or asked about without float32."""
    looked = found = faint = False
    for batch in certified_batches(sizes):
        wrong = hit(generator, batch, sizes[batch])
        names = [f"{generator.integers(2**60):x}" for _ in range(sizes[batch])]
        items = [
            BatchItem(name, IMAGE, ("?" * int(generator.integers(40)), ""), (("", ""), ("", "")))
            for name in names
        ]
        chosen = [item.pair_id for item in choose_pairs(items, ((),))]
        rows = [names.index(name) for name in chosen]
        looked |= bool(wrong & set(rows))
        truth = generator.normal(size=(LAYERS, len(rows), 2, DIM)).astype(np.float32)
        exact, plain, fast = (output(chosen, truth, generator, size) for size in (0.0, 0.05, 0.05))
        states = fast.states.copy()
        for place, row in enumerate(rows):
            if row in wrong:
                states[:, place] = fast.states[:, place - 1]
        fast = replace(fast, states=states)
        known = compare(fast, plain, range(LAYERS), replace(exact, dtype="float32"))
        unknown = compare(fast, plain, range(LAYERS))
        found |= not known.passed
        faint |= unknown.needs_float32
    return looked, found, faint


def output(names: list[str], truth: np.ndarray, generator: np.random.Generator, size: float) -> BatchOutput:
    """Return a run in bfloat16 that is as far from the true states as rounding leaves it; exact for a size of 0."""
    states = truth + size * generator.normal(size=truth.shape).astype(np.float32)
    if size:
        states = (states.view(np.uint32) >> 16).astype(np.uint16)
    return BatchOutput(
        pair_ids=tuple(names),
        states=states,
        dtype="bfloat16",
        texts=(("left", "right"),) * len(names),
        margins=np.ones((len(names), 2)),
    )


if __name__ == "__main__":
    main()
