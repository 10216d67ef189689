"""What rounding does to deltas and answers on a GPU: plain forwards and the fast path in bfloat16 against float32.

    python benchmarks/precision_gpu.py

Each checkpoint is asked four ways: bfloat16 plainly and fast, float32 plainly (the truth) and fast. Errors of deltas
are medians over the layers whose |delta|/|h| is at least 0.02 and the pairs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from shapes import BUNDLED, family_of, pairs_of, random_model
from timing import describe, table

from vlmprobe.demo.benchmark import build_benchmark
from vlmprobe.families import BatchItem, LoadOptions, compare
from vlmprobe.families.worker.qwen.family import Qwen25
from vlmprobe.pairs import read_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmprobe.families import BatchOutput


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--pairs-per-category", type=int, default=40)
    parser.add_argument(
        "--random", type=int, default=16, help="pairs about the random 3B model; 0 = leave it out"
    )
    parser.add_argument("--out", type=Path, default=Path("precision-data"))
    asked = parser.parse_args()
    print(describe(), flush=True)
    items = demo_items(asked.out, asked.pairs_per_category)
    rows = []
    for folder in sorted(path.parent for path in BUNDLED.parent.glob("*/config.json")):
        rows.append(
            row_of(folder.name, items, lambda dtype, folder=folder: load(folder, dtype, asked.device))
        )
    if asked.random:
        rows.append(
            row_of("3B, random", pairs_of(asked.random), lambda dtype: random_3b(dtype, asked.device))
        )
    head = (
        "checkpoint",
        "questions",
        "plain",
        "fast",
        "ratio",
        "answers plain = fast",
        "float32 max |dh|/|h|",
        "answers",
    )
    table(head, rows)


def row_of(name: str, items: Sequence[BatchItem], make: Callable[[str], Qwen25]) -> list[str]:
    """Ask one checkpoint all ways."""
    half = make("bfloat16")
    fast, plain = in_batches(half.run_batch, items), in_batches(half.run_plain, items)
    layers = half.info.layers
    del half
    torch.cuda.empty_cache()
    whole = make("float32")
    exact, exact_fast = in_batches(whole.run_plain, items), in_batches(whole.run_batch, items)
    del whole
    torch.cuda.empty_cache()
    found = compare(fast, plain, layers, exact)
    at_float32 = compare(exact_fast, exact, layers)
    return [
        name,
        str(2 * len(items)),
        f"{found.plain_delta_error:.4f}",
        f"{found.delta_error:.4f}",
        f"{found.delta_error / found.plain_delta_error:.3f}",
        f"{same(fast, plain):.2%}",
        f"{at_float32.max_rel_dh:.1e}",
        f"{same(exact_fast, exact):.2%}",
    ]


def same(one: BatchOutput, other: BatchOutput) -> float:
    """Return the share of answers that are equal, ties and all."""
    return float(
        np.mean(
            [a == b for x, y in zip(one.texts, other.texts, strict=True) for a, b in zip(x, y, strict=True)]
        )
    )


def in_batches(ask: Callable[[Sequence[BatchItem]], BatchOutput], items: Sequence[BatchItem]) -> BatchOutput:
    """Ask 16 pairs at a time, and put the outputs together."""
    parts = [ask(items[start : start + 16]) for start in range(0, len(items), 16)]
    return replace(
        parts[0],
        pair_ids=tuple(pair for part in parts for pair in part.pair_ids),
        states=np.concatenate([part.states for part in parts], axis=1),
        texts=tuple(text for part in parts for text in part.texts),
        margins=np.concatenate([part.margins for part in parts]),
        leads=None,
    )


def load(folder: Path, dtype: str, device: str) -> Qwen25:
    """Load a bundled checkpoint."""
    return Qwen25.load(LoadOptions(str(folder), device=device, dtype=dtype))


def random_3b(dtype: str, device: str) -> Qwen25:
    """Make the random model; its float32 form has the very weights of the bfloat16 one."""
    model: Any = random_model("3b", device, torch.bfloat16)
    return family_of(model.float() if dtype == "float32" else model, device)


def demo_items(folder: Path, pairs_per_category: int) -> list[BatchItem]:
    """Draw the demo's benchmark and read it."""
    data = read_dataset(
        build_benchmark(folder, pairs_per_category=pairs_per_category, seed=5).tsv, max_per_category=0
    )
    items = []
    for pair in data.pairs:
        orig, swap = pair.questions
        answers = ((str(orig.expected), str(orig.opposite)), (str(swap.expected), str(swap.opposite)))
        items.append(BatchItem(pair.pair_id, data.image(pair), (orig.text, swap.text), answers))
    return items


if __name__ == "__main__":
    main()
