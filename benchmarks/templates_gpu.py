"""What further templates cost the model alone, on a GPU: the same pictures under one, five and eight, in one run.

    python benchmarks/templates_gpu.py [--shape 3b|7b] [--pairs 64]

On tensors: prompts and resized images are made ready, outputs arrive on the host. Random weights in the shape,
bfloat16, images of 640x480, answers that end after two tokens. ``templates.py`` measures whole extractions.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from shapes import family_of, pairs_of, random_model
from timing import describe, median_seconds, table

from vlmprobe.pairs import SPACE, TEMPLATES

if TYPE_CHECKING:
    from vlmprobe.families.worker import BatchItem

FIVE = ("published", "mention-swapped", "options-swapped", "yes-no", "yes-no-opposite")
EIGHT = (*FIVE, "balanced", "three-options", "four-options")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="3b")
    parser.add_argument("--pairs", type=int, default=64, help="a batch")
    asked = parser.parse_args()
    print(describe(), flush=True)
    family = family_of(random_model(asked.shape, "cuda", torch.bfloat16), "cuda")
    family._decoder._max_new_tokens = 2
    pairs, rows, first = pairs_of(asked.pairs), [], 0.0
    for templates in (FIVE[:1], FIVE, EIGHT):
        prepared = family.prepare(under(pairs, templates))
        family.run_prepared(prepared)
        torch.cuda.reset_peak_memory_stats()
        seconds = median_seconds(lambda prepared=prepared: family.run_prepared(prepared), warm=2)
        first = first or seconds
        peak = torch.cuda.max_memory_allocated() / 2**30
        rows.append([str(len(templates)), f"{seconds:.3f}", f"{seconds / first:.2f}", f"{peak:.1f}"])
    table(["templates", f"s for {asked.pairs} pairs", "ratio to one", "peak GiB"], rows)


def under(pairs: list[BatchItem], templates: tuple[str, ...]) -> list[BatchItem]:
    """Ask about each pair's picture under each template, picture by picture; categories take turns."""
    items = []
    for number, item in enumerate(pairs):
        category = SPACE.categories[number % len(SPACE.categories)]
        for name in templates:
            subject, reference = f"red ball {number}", f"blue box {number}"
            both = TEMPLATES[name].ask(category, subject, reference, str(number))
            items.append(
                replace(
                    item,
                    pair_id=f"{name}:{number}",
                    questions=(both[0].text, both[1].text),
                    answers=tuple((str(each.expected), str(each.opposite)) for each in both),
                )
            )
    return items


if __name__ == "__main__":
    main()
