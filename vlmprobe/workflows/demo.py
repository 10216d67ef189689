"""The demo: a benchmark drawn here, five fine-tuning scales of a tiny model, the whole method in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.demo import DEMO_SCALES, build_benchmark
from vlmprobe.errors import unknown_name
from vlmprobe.store.engine import Database
from vlmprobe.workflows.plot import draw_plots
from vlmprobe.workflows.run import run_study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.workflows.console import Console
    from vlmprobe.workflows.merge import MergeResult

__all__ = ["DEMO_FAMILY", "DemoResult", "demo"]

DEMO_FAMILY = "tiny"
PAIRS_PER_CATEGORY = 40
SEED = 0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The comparison, and the benchmark it was made on."""

    merged: MergeResult
    benchmark: Path
    plots: tuple[Path, ...]


def demo(
    settings: Settings, console: Console, *, scales: Sequence[str] = (), out: Path | None = None
) -> DemoResult:
    """Draw the benchmark, run the bundled checkpoints on it and compare them.

    Raises:
        UsageError: no bundled checkpoint has that scale.
    """
    for scale in scales:
        if scale not in DEMO_SCALES:
            raise unknown_name("demo scale", scale, list(DEMO_SCALES))
    folder = out or settings.home / "demo"
    with console.track("drawing the benchmark", 6 * PAIRS_PER_CATEGORY) as advance:
        files = build_benchmark(
            folder, pairs_per_category=PAIRS_PER_CATEGORY, seed=SEED, progress=lambda *_: advance(1)
        )
    merged = run_study(
        settings,
        console,
        family=DEMO_FAMILY,
        scales=scales or DEMO_SCALES,
        data=files.tsv,
        boxes=str(files.boxes),
        out=folder,
    )
    database = Database(settings.database_path, tell=console.warn)
    plots = draw_plots(settings, database, console, merged.runs, folder)
    return DemoResult(merged, files.tsv, tuple(plots))
