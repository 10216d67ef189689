"""Run: extract and analyze each scale of a family, then merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError
from vlmprobe.families import load_catalog
from vlmprobe.workflows.analyze import analyze
from vlmprobe.workflows.extract import ExtractRequest, extract
from vlmprobe.workflows.merge import MergeResult, merge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.workflows.console import Console

__all__ = ["run_study"]


def run_study(
    settings: Settings,
    console: Console,
    *,
    family: str,
    scales: Sequence[str] = (),
    data: Path,
    max_per_category: int = 200,
    out: Path | None = None,
    **options: Any,
) -> MergeResult:
    """Extract and analyze every scale (all that have a checkpoint, when none is named), then compare them.

    ``options`` go to ``ExtractRequest``: dtype, device, batch_size, layers, new.

    Raises:
        UsageError: family or scale is unknown, or the family has no scale with a checkpoint.
        KeyboardInterrupt: it was stopped; what is done is kept.
    """
    catalog = load_catalog()
    chosen = list(scales) or catalog.scale_names(family)
    if not chosen:
        raise UsageError(f"family {family!r} has no scale with a checkpoint; see 'vlmprobe extract --help'")
    for scale in chosen:
        catalog.scale(family, scale)  # a wrong name is told before the first scale's night
    for scale in chosen:
        request = ExtractRequest(
            family=family, scale=scale, data=data, max_per_category=max_per_category, **options
        )
        if extract(settings, request, console).interrupted:
            raise KeyboardInterrupt
        analyze(
            settings,
            console,
            families=[family],
            scales=[scale],
            data=data,
            max_per_category=max_per_category,
        )
    return merge(
        settings,
        console,
        families=[family],
        scales=chosen,
        data=data,
        max_per_category=max_per_category,
        out=out,
    )
