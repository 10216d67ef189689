"""Run: extract and analyze each scale of a family, then merge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.families import load_catalog
from vlmprobe.timeline import Timeline
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest
from vlmprobe.workflows.merge import MergeResult, merge
from vlmprobe.workflows.scales import reported_template, run_scales, selection_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.workspace import Workspace

__all__ = ["StudyResult", "run_study", "scales_to_run"]


@dataclass(frozen=True, slots=True)
class StudyResult:
    """The comparison, and how long what took; ``timeline.json`` beside the report has the same."""

    merged: MergeResult
    timeline: Timeline


def run_study(
    workspace: Workspace,
    family: str,
    options: ExtractOptions,
    *,
    requests: Sequence[ExtractRequest] = (),
    out: Path | None = None,
) -> StudyResult:
    """Extract and analyze the requested scales (by default all that have a checkpoint), then compare them.

    The comparison uses the published template, or the first one if that is not requested; the others get a
    table in the report.

    Raises:
        UsageError: family or scale is unknown, or the family has no scale with a checkpoint.
        InputError: the Python that the family is to run in is not there.
        KeyboardInterrupt: it was stopped; what is done is kept.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    catalog = load_catalog()
    wanted = list(requests) or [
        ExtractRequest(family, scale, options) for scale in scales_to_run(workspace, family)
    ]
    for request in wanted:
        spec = catalog.scale(
            family, request.scale, request.checkpoint, request.processor
        )  # report problems before the first scale runs for hours
        if spec.environment is not None:
            spec.environment.check(family)
    chosen = [request.scale for request in wanted]
    timeline = workspace.timeline = Timeline()
    run_scales(workspace, wanted)
    with timeline.during("report"):
        merged = merge(
            workspace,
            selection_of(family, chosen, options),
            template=reported_template(options),
            out=out,
        )
    timeline.write(merged.report.with_name("timeline.json"))
    return StudyResult(merged, timeline)


def scales_to_run(workspace: Workspace, family: str) -> list[str]:
    """Return the scales of a family that have a checkpoint; a line names the others.

    Raises:
        UsageError: there is no such family, or it has none.
    """
    catalog = load_catalog()
    names = list(catalog.scale_names(family))
    if not names:
        raise UsageError(
            f"family {family!r} has no scale with a checkpoint; set one in vlmprobe.toml "
            f"([families.{family}.scales.NAME]), or extract each checkpoint: "
            f"vlmprobe extract {family} --scale NAME --checkpoint DIR_OR_ID"
        )
    left_out = [name for name in catalog.listed_scales(family) if name not in names]
    if left_out:
        workspace.console.warn(
            f"no checkpoint is known for {family} @ {', '.join(left_out)}; skipped (see 'vlmprobe families')"
        )
    return names
