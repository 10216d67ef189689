"""``vlmprobe verdict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import MaxPerCategory, Output, TemplateName
from vlmprobe.workspace import Workspace

__all__ = ["verdict"]


@command(example="vlmprobe verdict qwen25 --data EmbSpatial-Bench.tsv", experiment=True)
def verdict(
    workspace: Workspace,
    *,
    family: Annotated[str, typer.Argument(help="Model family whose axes are judged.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Only runs on this benchmark.", metavar="FILE|NAME")
    ] = None,
    scales: Annotated[
        list[str] | None, typer.Option("--scale", help="Only this scale; may be repeated. Default: all.")
    ] = None,
    template: TemplateName = "published",
    max_per_category: MaxPerCategory = 200,
    rows: Annotated[bool, typer.Option("--rows", help="Print every condition with its numbers.")] = False,
    output: Output,
) -> None:
    """Say of each axis whether it is there, and of what: the scene, the answer's words, or what controls have too."""
    from vlmprobe.reports.verdicts import (
        READING,
        commands,
        condition_rows,
        shown_verdicts,
        verdicts_in_full,
    )
    from vlmprobe.workflows.verdict import verdict as run_verdict

    found = run_verdict(
        workspace,
        family,
        data,
        scales=scales or (),
        template=template,
        max_per_category=max_per_category,
    )
    if rows:
        output.rows(condition_rows(found, in_full=not output.is_table))
    else:
        output.rows(shown_verdicts(found) if output.is_table else verdicts_in_full(found))
    notes = [f"{each.scale}, {each.axis}: {each.verdict.note}" for each in found if each.verdict.note]
    tests = {each.n_tests for each in found}
    family_of = [f"p after Holm's rule over {n} tests: all axes of all scales" for n in tests]
    for line in (*notes, *commands(found), *family_of, *READING):
        workspace.console.say(line)
