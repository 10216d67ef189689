"""Run: extract and analyze each scale of a family, then merge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError
from vlmprobe.families import load_catalog
from vlmprobe.pairs import PUBLISHED
from vlmprobe.workflows.analyze import analyze
from vlmprobe.workflows.extract import ExtractRequest, extract
from vlmprobe.workflows.merge import MergeResult, merge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.workspace import Console

__all__ = ["run_scales", "run_study"]


def run_study(
    settings: Settings,
    console: Console,
    *,
    family: str,
    scales: Sequence[str] = (),
    data: Path,
    max_per_category: int = 200,
    templates: Sequence[str] = (PUBLISHED.name,),
    out: Path | None = None,
    **options: Any,
) -> MergeResult:
    """Extract and analyze every scale (all that have a checkpoint, when none is named), then compare them.

    The comparison is of the published template, or of the first where that is not asked for; the others have a table
    in its report.

    ``options`` go to ``ExtractRequest``: boxes, dtype, device, batch_size, layers, new, trust_remote_code.

    Raises:
        UsageError: family or scale is unknown, or the family has no scale with a checkpoint.
        InputError: the Python that the family is to run in is not there.
        KeyboardInterrupt: it was stopped; what is done is kept.
    """
    catalog = load_catalog()
    chosen = list(scales) or catalog.scale_names(family)
    if not chosen:
        raise UsageError(
            f"family {family!r} has no scale with a checkpoint; name one in vlmprobe.toml "
            f"([families.{family}.scales.NAME]), or extract checkpoint by checkpoint: "
            f"vlmprobe extract {family} --scale NAME --checkpoint DIR_OR_ID"
        )
    for scale in chosen:
        spec = catalog.scale(family, scale)  # what is wrong is told before the first scale's night
        if spec.environment is not None:
            spec.environment.check(family)
    left_out = [] if scales else [name for name in catalog.listed_scales(family) if name not in chosen]
    if left_out:
        console.warn(
            f"no checkpoint is known for {family} @ {', '.join(left_out)}: left out; see 'vlmprobe families'"
        )
    run_scales(
        settings,
        console,
        family=family,
        scales=chosen,
        data=data,
        max_per_category=max_per_category,
        templates=templates,
        **options,
    )
    return merge(
        settings,
        console,
        families=[family],
        scales=chosen,
        data=data,
        max_per_category=max_per_category,
        template=PUBLISHED.name if PUBLISHED.name in templates else templates[0],
        out=out,
    )


def run_scales(
    settings: Settings,
    console: Console,
    *,
    family: str,
    scales: Sequence[str],
    data: Path,
    max_per_category: int = 200,
    templates: Sequence[str] = (PUBLISHED.name,),
    **options: Any,
) -> None:
    """Extract and analyze some scales, one after the other; ``options`` go to ``ExtractRequest``.

    Raises:
        UsageError: family, scale or template is unknown.
        KeyboardInterrupt: it was stopped; what is done is kept.
    """
    for scale in scales:
        request = ExtractRequest(
            family=family,
            scale=scale,
            data=data,
            max_per_category=max_per_category,
            templates=tuple(templates),
            **options,
        )
        if extract(settings, request, console)[-1].interrupted:
            raise KeyboardInterrupt
        analyze(
            settings,
            console,
            families=[family],
            scales=[scale],
            data=data,
            max_per_category=max_per_category,
            templates=templates,
        )
