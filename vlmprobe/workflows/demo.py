"""The demo: a benchmark drawn here, five fine-tuning scales of a tiny model, the whole method in minutes.

Beside the runs themselves it extracts what their verdicts need: controls, counterbalanced answers, exchanged pictures.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.demo import DEMO_SCALES, TAUGHT, build_benchmark
from vlmprobe.errors import unknown_name
from vlmprobe.lanes import Lanes
from vlmprobe.pairs import PUBLISHED
from vlmprobe.study.selection import Selection
from vlmprobe.timeline import Timeline
from vlmprobe.workflows.control import control
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest
from vlmprobe.workflows.merge import merge
from vlmprobe.workflows.plot import draw_plots
from vlmprobe.workflows.scales import lanes_of, run_scales

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.workflows.merge import MergeResult
    from vlmprobe.workspace import Workspace

__all__ = ["DEMO_FAMILY", "DemoResult", "demo"]

DEMO_FAMILY = "tiny"
PAIRS_PER_CATEGORY = 40
SEED = 0


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The comparison, the benchmark it was made on, and how long what took."""

    merged: MergeResult
    benchmark: Path
    timeline: Timeline


def demo(workspace: Workspace, *, scales: Sequence[str] = (), out: Path | None = None) -> DemoResult:
    """Draw the benchmark, run the bundled checkpoints and compare them; ask the last under every template it knows.

    Raises:
        UsageError: no bundled checkpoint has that scale.
        ReadOnlyError: the home cannot be written.
    """
    for scale in scales:
        if scale not in DEMO_SCALES:
            raise unknown_name("demo scale", scale, list(DEMO_SCALES))
    workspace.require_writable()
    folder = out or workspace.settings.home / "demo"
    timeline = workspace.timeline = Timeline()
    drawing = workspace.console.track("drawing the benchmark", 6 * PAIRS_PER_CATEGORY)
    with timeline.during("benchmark"), drawing as advance:
        files = build_benchmark(
            folder,
            pairs_per_category=PAIRS_PER_CATEGORY,
            seed=SEED,
            image_swaps=True,
            progress=lambda *_: advance(1),
        )
    chosen = [scale for scale in DEMO_SCALES if scale in (scales or DEMO_SCALES)]
    options = ExtractOptions(files.tsv, boxes=str(files.boxes))
    # One scale, without quads, is enough to show the effect of wording in a short demo.
    others = tuple(name for name in TAUGHT if name != PUBLISHED.name)
    wanted = [
        *_requests(chosen, options),
        *_requests(chosen[-1:], ExtractOptions(files.tsv, templates=others)),
    ]
    # The same processes for all, since each loads PyTorch.
    n = lanes_of(wanted)
    with Lanes(workspace, n) if n > 1 else nullcontext() as lanes:
        run_scales(workspace, wanted, lanes)
        with timeline.during("controls"):
            control(
                workspace,
                DEMO_FAMILY,
                options,
                scales=chosen,
                image_swaps=files.swaps,
                verdicts_only=True,
                lanes=lanes,
            )
    with timeline.during("report"):
        merged = merge(workspace, Selection((DEMO_FAMILY,), tuple(chosen), files.tsv), out=folder)
    with timeline.during("plots"):
        draw_plots(workspace, merged.runs, folder)
    timeline.write(folder / "timeline.json")
    return DemoResult(merged, files.tsv, timeline)


def _requests(scales: Sequence[str], options: ExtractOptions) -> list[ExtractRequest]:
    return [ExtractRequest(DEMO_FAMILY, scale, options) for scale in scales]
