"""What further question templates of the same pairs cost: whole extractions under one, five and eight, in one run.

    python benchmarks/templates.py [--pairs 240] [--device cpu|cuda] [--shape tiny|3b|7b] [--repeats 3] [--commands]

Each call loads the model, asks, certifies, and ends with committed rows and shards in MLflow. All share a process and a
home, and take turns, so that what else the machine does falls on each. With ``--commands`` each is a process of its
own, from the prompt back to the prompt. The shapes of Qwen have random weights, and their answers end after two tokens,
as a trained model's do.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from extract_gpu import Clock, answers_of, save
from shapes import BUNDLED
from timing import describe, table

from vlmprobe.demo.benchmark import build_benchmark
from vlmprobe.families import ModelOptions
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest, extract
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The templates in the order in which they came to be.
FIVE = ("published", "mention-swapped", "options-swapped", "yes-no", "yes-no-opposite")
EIGHT = (*FIVE, "balanced", "three-options", "four-options")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", default="tiny")
    parser.add_argument("--batch-size", type=int, help="pairs a batch; default: as many as fit")
    parser.add_argument("--profile", action="store_true", help="print where the time of five goes, and end")
    parser.add_argument("--commands", action="store_true", help="time 'vlmprobe extract' of the tiny model")
    asked = parser.parse_args()
    print(f"{describe()}, {torch.get_num_threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoint = BUNDLED
        if asked.shape != "tiny":
            checkpoint = folder / "checkpoint"
            save(asked.shape, checkpoint)
        answers: Any = nullcontext() if asked.shape == "tiny" else answers_of(2)
        data = build_benchmark(folder / "demo", pairs_per_category=asked.pairs // 6, seed=3).tsv
        if asked.commands:
            commands(folder / "home", data, asked.repeats)
            return
        calls = Calls(folder / "home", data, checkpoint, asked)
        with answers:
            if asked.profile:
                calls.profile(FIVE)
            else:
                compare(calls, asked.repeats)


def commands(home: Path, data: Path, repeats: int) -> None:
    """Time whole commands in turn; print medians and their ratios to one."""
    ways = {"1 template": FIVE[:1], "5 templates": FIVE, "8 templates": EIGHT}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, templates in ways.items():
            command = [
                "extract",
                "tiny",
                "--scale",
                "2m",
                "--data",
                str(data),
                "--templates",
                ",".join(templates),
            ]
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "vlmprobe", *command, "--new", "--home", str(home)],
                check=True,
                capture_output=True,
            )
            # The first of each makes the home, and checks a template's wording for leaks.
            taken[name] += [time.perf_counter() - started] if turn else []
    medians = {name: statistics.median(each) for name, each in taken.items()}
    one, five, eight = medians.values()
    rows = [[name, *_cells(seconds, one)] for name, seconds in medians.items()]
    table([f"commands, medians of {repeats}", "s", "ratio"], rows)
    print(f"each template after the fifth costs {(eight - five) / 3 / one:.2f} of one", flush=True)


def compare(calls: Calls, repeats: int) -> None:
    """Extract under one, five and eight templates in turn; print medians and their ratios to one."""
    ways: dict[str, Sequence[str]] = {"1 template": FIVE[:1], "5 templates": FIVE, "8 templates": EIGHT}
    taken: dict[str, list[Taken]] = {name: [] for name in ways}
    for templates in ways.values():
        calls.extract(templates)
    for _ in range(repeats):
        for name, templates in ways.items():
            taken[name].append(calls.extract(templates))
    medians = {
        name: [statistics.median(column) for column in zip(*each, strict=True)]
        for name, each in taken.items()
    }
    one, five, eight = medians.values()
    rows = [
        [name, *(cell for value, of_one in zip(each, one, strict=True) for cell in _cells(value, of_one))]
        for name, each in medians.items()
    ]
    head = [f"{calls.pairs} pairs, medians of {repeats}"]
    table([*head, "whole call, s", "ratio", "of it loop, s", "ratio", "CPU, s", "ratio"], rows)
    print(f"each template after the fifth costs {(eight[0] - five[0]) / 3 / one[0]:.2f} of one", flush=True)


def _cells(value: float, of_one: float) -> tuple[str, str]:
    return f"{value:.2f}", f"{value / of_one:.2f}"


class Taken(NamedTuple):
    """Seconds of an extraction."""

    whole: float
    loop: float
    """From the first batch to the end."""
    cpu: float
    """Of the processor, which other work on the machine changes least."""


class Calls:
    """Extractions of one checkpoint and benchmark in one home."""

    def __init__(self, home: Path, data: Path, checkpoint: Path, asked: argparse.Namespace) -> None:
        """Store the arguments."""
        self.pairs = asked.pairs
        self._home, self._data, self._checkpoint, self._asked = home, data, checkpoint, asked

    def extract(self, templates: Sequence[str]) -> Taken:
        """Extract new runs."""
        clock = Quiet()
        workspace = Workspace.open(self._home, console=clock)
        options = ExtractOptions(
            self._data,
            templates=tuple(templates),
            max_per_category=0,
            batch_size=self._asked.batch_size,
            new=True,
            model=ModelOptions(device=self._asked.device),
        )
        family, scale = ("tiny", "2m") if self._asked.shape == "tiny" else ("qwen25", "random")
        request = ExtractRequest(family, scale, options, checkpoint=str(self._checkpoint))
        started, cpu = time.perf_counter(), time.process_time()
        results = extract(workspace, request)
        ended = time.perf_counter()
        assert all(result.n_inferred == result.n_pairs for result in results)
        return Taken(ended - started, ended - clock.first, time.process_time() - cpu)

    def profile(self, templates: Sequence[str]) -> None:
        """Print where the time of a second extraction goes."""
        import cProfile
        import pstats

        self.extract(templates)
        profiler = cProfile.Profile()
        profiler.runcall(self.extract, templates)
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


class Quiet(Clock):
    """A clock that prints warnings alone, and notes when the first loop began."""

    first = 0.0

    def say(self, text: str) -> None:
        """Print nothing."""

    def track(self, what: str, total: int, done: int = 0) -> Any:
        """Note when the first loop began."""
        self.first = self.first or time.perf_counter()
        return super().track(what, total, done)

    def note(self, n: int) -> None:
        """Print nothing."""


if __name__ == "__main__":
    main()
