"""Verdict: says of each axis of a family's scales what it has been shown to be of, and what is still to be run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.pairs import PUBLISHED
from vlmprobe.reports.verdicts import commands
from vlmprobe.study.findings import findings_of
from vlmprobe.study.selection import Selection
from vlmprobe.study.study import Study
from vlmprobe.study.verdicts import verdicts_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.extraction.request import ExtractOptions
    from vlmprobe.reports.verdicts import AxisVerdict
    from vlmprobe.workspace import Workspace

__all__ = ["say_verdicts", "verdict"]


def verdict(
    workspace: Workspace,
    family: str,
    data: Path | None = None,
    *,
    scales: Sequence[str] = (),
    template: str = PUBLISHED.name,
    max_per_category: int = 200,
    allow_contradictions: bool = False,
) -> list[AxisVerdict]:
    """Return the verdict about each axis of each scale's newest analyzed run.

    p-values are corrected over all axes and all scales of the family, also where only some scales are wanted.

    Args:
        workspace: the home; what is new is kept there if it can be written.
        family: whose runs.
        data: a benchmark file, or a dataset in the database.
        scales: only these; empty = all.
        template: under which the runs were asked.
        max_per_category: if ``data`` is a file: the pairs per category that the runs were extracted with.
        allow_contradictions: if ``data`` is a file: whether the runs have its contradicting rows.

    Raises:
        UsageError: no run matches, several datasets do, a scale has no metrics yet, or there is no such scale.
        InputError: there is no such dataset.
    """
    selection = Selection(
        (family,), data=data, max_per_category=max_per_category, allow_contradictions=allow_contradictions
    )
    runs = selection.newest(workspace, template).runs
    there = list(dict.fromkeys(run.scale for run in runs))
    for scale in scales:
        if scale not in there:
            raise unknown_name("scale", scale, there)
    findings = findings_of(Study(workspace.database, runs), workspace.database)
    with workspace.opening_once():
        return verdicts_of(workspace, runs, findings, scales=scales)


def say_verdicts(
    workspace: Workspace, family: str, options: ExtractOptions, *, scales: Sequence[str] = ()
) -> None:
    """Print the verdicts of a family's runs on a benchmark, a line each, and what is still to be run."""
    try:
        found = verdict(
            workspace,
            family,
            options.data,
            scales=scales,
            max_per_category=options.max_per_category,
            allow_contradictions=options.allow_contradictions,
        )
    except UsageError as error:
        workspace.console.say(f"no verdicts: {error}")
        return
    for each in found:
        workspace.console.say(f"{each.scale}, {each.axis} (layer {each.layer}): {each.verdict}")
    for line in commands(found):
        workspace.console.say(line)
