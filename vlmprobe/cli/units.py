"""``vlmprobe unit``, ``status`` and ``cancel``: work that was submitted to an engine."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.workflows.units import UnitState

__all__ = ["cancel", "status", "unit"]

#: How often ``--watch`` looks.
_LOOK_S = 2.0


@command(example="vlmprobe unit 3f2a91c07d11 0")
def unit(
    workspace: Workspace,
    *,
    submission: Annotated[str, typer.Argument(help="The submission, as 'vlmprobe run --engine' named it.")],
    number: Annotated[int, typer.Argument(help="Which of its units.", min=0)],
) -> None:
    """Run one unit of a submission on this machine: what a job array, a Ray task or a person starts."""
    from vlmprobe.workflows.units import run_one

    code = run_one(workspace, submission, number)
    if code:
        raise typer.Exit(code)


@command(example="vlmprobe status --watch", lists=True)
def status(
    workspace: Workspace,
    *,
    submission: Annotated[
        str | None,
        typer.Argument(help="Only this submission. Default: the last one, and all that are not over."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all submissions.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print again until all units have ended.")] = False,
    output: Output,
) -> None:
    """Say how far the units of a submission are: state, host, pairs, rate, last error. From any machine."""
    from vlmprobe.workflows.units import states

    while True:
        found = states(workspace, submission, everything=everything)
        rows = [asdict(each) for each in found]
        output.rows(
            _table(found) if output.is_table else rows,
            empty="no units; submit some with 'vlmprobe run FAMILY --data FILE --engine slurm|ray|print'",
        )
        # A run that was begun by hand may look as if it went on for ever: a process that was killed left it so.
        of_units = [each for each in found if each.submission is not None]
        if not watch or all(each.state not in {"waiting", "running", "lost"} for each in of_units):
            return
        time.sleep(_LOOK_S)
        if output.is_table:
            typer.echo()


@command(example="vlmprobe cancel 3f2a91c07d11")
def cancel(
    workspace: Workspace,
    *,
    submission: Annotated[str, typer.Argument(help="The submission.")],
) -> None:
    """Cancel the units of a submission that wait or run; what they finished is kept."""
    from vlmprobe.workflows.units import cancel as cancel_submission

    n = cancel_submission(workspace, submission)
    workspace.console.say(
        f"cancelled {n} units of {submission}; those that run notice within half a minute, write what "
        "is done, and end; submit again to go on"
    )


def _table(found: Sequence[UnitState]) -> list[dict[str, Any]]:
    return [
        {
            "submission": each.submission,
            "unit": each.unit,
            "name": each.name,
            "state": each.state,
            "host": each.host,
            "pairs": None if each.of is None else f"{each.pairs}/{each.of}",
            "per_s": None if each.rate is None else f"{each.rate:.3g}",
            "seen_s_ago": None if each.seen is None else f"{each.seen:.0f}",
            "tries": each.attempts,
            "error": each.error,
            "log": each.log,
        }
        for each in found
    ]
