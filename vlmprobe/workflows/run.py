"""Run: extract and analyze each scale of a family, then merge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.families import load_catalog
from vlmprobe.pairs import PUBLISHED
from vlmprobe.study.selection import Selection
from vlmprobe.workflows.analyze import analyze
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest, extract
from vlmprobe.workflows.merge import MergeResult, merge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.workspace import Workspace

__all__ = ["run_scales", "run_study"]


def run_study(
    workspace: Workspace,
    family: str,
    options: ExtractOptions,
    *,
    requests: Sequence[ExtractRequest] = (),
    out: Path | None = None,
) -> MergeResult:
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
        ExtractRequest(family, scale, options) for scale in catalog.scale_names(family)
    ]
    if not wanted:
        raise UsageError(
            f"family {family!r} has no scale with a checkpoint; set one in vlmprobe.toml "
            f"([families.{family}.scales.NAME]), or extract each checkpoint: "
            f"vlmprobe extract {family} --scale NAME --checkpoint DIR_OR_ID"
        )
    for request in wanted:
        spec = catalog.scale(
            family, request.scale, request.checkpoint, request.processor
        )  # report problems before the first scale runs for hours
        if spec.environment is not None:
            spec.environment.check(family)
    chosen = [request.scale for request in wanted]
    left_out = [] if requests else [name for name in catalog.listed_scales(family) if name not in chosen]
    if left_out:
        workspace.console.warn(
            f"no checkpoint is known for {family} @ {', '.join(left_out)}; skipped (see 'vlmprobe families')"
        )
    run_scales(workspace, wanted)
    published = PUBLISHED.name
    return merge(
        workspace,
        _selection(family, chosen, options),
        template=published if published in options.templates else options.templates[0],
        out=out,
    )


def run_scales(workspace: Workspace, requests: Sequence[ExtractRequest]) -> None:
    """Extract and analyze scales one by one.

    Raises:
        UsageError: family, scale or template is unknown.
        KeyboardInterrupt: it was stopped; what is done is kept.
    """
    for request in requests:
        if extract(workspace, request)[-1].interrupted:
            raise KeyboardInterrupt
        options = request.options
        analyze(workspace, _selection(request.family, [request.scale], options), templates=options.templates)


def _selection(family: str, scales: Sequence[str], options: ExtractOptions) -> Selection:
    return Selection(
        (family,), tuple(scales), options.data, options.max_per_category, options.allow_contradictions
    )
