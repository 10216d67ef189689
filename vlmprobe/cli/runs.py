"""``vlmprobe runs``: list runs, remove one, rename a scale or one run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vlmprobe.cli.command import add, add_default, command
from vlmprobe.cli.options import Output
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

__all__ = ["app"]

app = typer.Typer(
    help="List every run with its progress, benchmark and checkpoint; remove runs, rename scales.",
    epilog="Example: vlmprobe runs --json",
    rich_markup_mode=None,
)


@command(example="vlmprobe runs --json", lists=True)
def runs(
    workspace: Workspace,
    *,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="List control runs too, with their kind and the run they serve."),
    ] = False,
    output: Output,
) -> None:
    """List every run with its progress, benchmark and checkpoint; control runs only with --controls."""
    from vlmprobe.workflows.query import all_runs

    rows = [asdict(run) for run in all_runs(workspace, controls=controls)]
    if not controls:
        rows = [{name: row[name] for name in row if name not in {"control", "serves"}} for row in rows]
    if output.is_table:
        rows = [{**row, "created_at": f"{row['created_at']:%Y-%m-%d %H:%M}"} for row in rows]
    output.rows(rows, empty="no runs yet; create one with 'vlmprobe extract'")


@command(example="vlmprobe runs rm 01a2275c-0c03-7b46-bdfd-0f79da06c131")
def rm(
    workspace: Workspace,
    *,
    run: Annotated[str, typer.Argument(help="The run's id, or the beginning or end of it.", metavar="RUN")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a run for good: answers, hidden states, metrics. MLflow's copy goes to MLflow's trash."""
    from vlmprobe.workflows.runs import controls_serving, find_listed, remove

    found = find_listed(workspace, run)
    kind = "" if found.control is None else f", control {found.control}"
    name = f"{found.family} @ {found.scale} on {found.dataset} ({found.template}{kind}), {found.pairs} pairs"
    if serving := controls_serving(workspace, [found.run_id]):
        name += f", and its controls {', '.join(str(each.control) for each in serving)}"
    if not yes and not _confirmed(f"remove run {found.run_id}: {name}?"):
        raise UsageError("nothing was removed")
    remove(workspace, found.run_id)
    workspace.console.say(f"removed run {found.run_id}: {name}")


@command(example="vlmprobe runs rename mine mine-1200-steps")
def rename(
    workspace: Workspace,
    *,
    scale: Annotated[
        str,
        typer.Argument(
            help="The scale's name, or the id of one run, or the beginning or end of it.", metavar="SCALE|RUN"
        ),
    ],
    new: Annotated[str, typer.Argument(help="The new name of the scale.", metavar="NEW")],
    family: Annotated[str | None, typer.Option("--family", help="Only runs of this family.")] = None,
    new_checkpoint: Annotated[
        bool,
        typer.Option("--new-checkpoint", help="Go on although the new scale has runs of another checkpoint."),
    ] = False,
) -> None:
    """Give every run of a scale, or one run, another scale's name; commands under that name resume them."""
    from vlmprobe.workflows.runs import rename as rename_scale

    for before, run in rename_scale(workspace, scale, new, family=family, new_checkpoint=new_checkpoint):
        workspace.console.say(f"{run.name}: run {run.run_id}, scale {before.scale} until now")


def _confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, err=True)
    except (typer.Abort, RuntimeError, OSError):
        # The end of the input, Ctrl-C, or no input at all, as under a scheduler.
        typer.echo(err=True)
        raise UsageError(
            "nothing was removed, since nobody answered; pass --yes to remove it unasked"
        ) from None


add_default(app, runs)
add(app, rm, rename)
