"""Compare: paired differences of two runs or scales, or of all scales of a family, on the same pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.pairs import PUBLISHED
from vlmprobe.study.comparison import compare_subjects
from vlmprobe.study.subjects import scales_of, two_subjects

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.reports.comparison import Comparison
    from vlmprobe.workspace import Workspace

__all__ = ["compare"]


def compare(
    workspace: Workspace,
    first: str,
    second: str | None = None,
    *,
    over_scales: bool = False,
    layer: int | None = None,
    template: str = PUBLISHED.name,
    data: Path | None = None,
    max_per_category: int = 200,
) -> Comparison:
    """Compare on the pairs that all runs answered.

    Args:
        workspace: the home.
        first: a run id, its beginning or end, a scale or ``family@scale``; with ``over_scales`` a family.
        second: another one; None with ``over_scales``.
        over_scales: whether all scales of a family are compared, in the order of their training.
        layer: whose geometry; None = the recommended one if the runs agree, else the last stored one.
        template: of scales that are given by their name.
        data: only runs on this benchmark.
        max_per_category: if ``data`` is a file: the pairs per category that the runs were extracted with.

    Raises:
        UsageError: a name is none or ambiguous; the runs are on different datasets or under different templates, or
            share no pair; or a run lacks the layer.
        InputError: there is no such dataset.
    """
    if over_scales:
        if second is not None:
            raise UsageError(f"--over-scales takes one family; {second!r} is too much")
        return compare_subjects(
            workspace,
            scales_of(workspace, first, template=template, data=data, max_per_category=max_per_category),
            layer=layer,
            trend=True,
        )
    if second is None:
        raise UsageError("compare needs two runs or scales, or a family with --over-scales")
    both = two_subjects(
        workspace, first, second, template=template, data=data, max_per_category=max_per_category
    )
    return compare_subjects(workspace, both, layer=layer)
