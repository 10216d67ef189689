"""Hands units to an engine, and says what became of them; for the commands that have ``--engine``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from vlmprobe.errors import VlmprobeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.cli.engine_options import EngineArguments
    from vlmprobe.cli.options import Output
    from vlmprobe.workflows.units import Planned, SubmissionResult
    from vlmprobe.workspace import Workspace

__all__ = ["submit_units"]


def submit_units(
    workspace: Workspace,
    planned: Sequence[Planned],
    engine: EngineArguments,
    finish: Sequence[Sequence[str]],
    output: Output,
) -> bool:
    """Submit units; where all of them have ended, or there is none to submit, run what compares them.

    Standard output has what the last of these commands prints. Where the units go on when this returns it has what
    the engine prints, such as the submission's name; with ``--json`` or ``--csv`` a row a unit.

    Args:
        workspace: the home.
        planned: the units.
        engine: which, and how.
        finish: arguments of ``vlmprobe`` that compare the units, one command after the other.
        output: how results are printed.

    Returns:
        Whether there are units that go on.

    Raises:
        VlmprobeError: units failed; the others were compared.
    """
    from vlmprobe.cluster.engines.base import how_to_see
    from vlmprobe.workflows.units import submit

    say = workspace.console.say
    result = submit(workspace, planned, engine.engine, engine.options, finish)
    if result.complete:
        say(f"complete already: {', '.join(result.complete)}")
    if result.submitted is None:
        say("nothing to submit")
        if not engine.only_print:
            _finish(workspace, finish, output)
        return False
    if not result.submitted.is_over:
        _print(result, output, engine)
    for line in result.submitted.said:
        say(line)
    if result.submitted.is_over:
        _finish(workspace, finish, output, result.submitted.failed)
    elif not engine.only_print:
        say(how_to_see(result.name or "", len(result.units)))
    return not result.submitted.is_over


def _print(result: SubmissionResult, output: Output, engine: EngineArguments) -> None:
    from vlmprobe.cluster.engines.base import shell_line

    assert result.submitted is not None  # noqa: S101 - whoever calls has looked
    if output.is_table or engine.only_print:
        for line in result.submitted.lines:
            typer.echo(line)
        return
    output.rows(
        [
            {
                "submission": unit.submission,
                "unit": unit.number,
                "name": unit.name,
                "command": shell_line(command),
                "job": result.submitted.job,
                "log": unit.log,
            }
            for unit, command in zip(result.units, result.commands, strict=True)
        ]
    )


def _finish(
    workspace: Workspace, finish: Sequence[Sequence[str]], output: Output, failed: str | None = None
) -> None:
    from vlmprobe.workflows.units import finish_here

    forms = [name for name, given in (("--json", output.as_json), ("--csv", output.as_csv)) if given]
    *before, last = finish
    try:
        finish_here(workspace, (*before, (*last, *forms)))
    except VlmprobeError as error:
        raise VlmprobeError(failed or str(error)) from error
    if failed:
        raise VlmprobeError(failed)
