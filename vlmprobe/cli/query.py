"""``vlmprobe query``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

__all__ = ["query"]


@command(example="vlmprobe query accuracy/by_axis --param family=tiny", lists=True)
def query(
    workspace: Workspace,
    *,
    name: Annotated[
        str | None, typer.Argument(help="Query to run; without one, all queries are listed.")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", help="A name=value pair; may be repeated.", metavar="K=V")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the SQL instead of running it.")] = False,
    output: Output,
) -> None:
    """Run one of the queries that ship with vlmprobe (folder queries/), or list them."""
    from vlmprobe.workflows.query import query_by_name, query_list

    if name is None:
        output.rows(query_list())
        return
    given = dict(_split(text) for text in parameters or [])
    if show:
        from vlmprobe.workflows.query import query_text

        typer.echo(query_text(name))
        return
    table = query_by_name(workspace, name, given)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    output.rows(rows, table.columns)


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--param {text!r}: use name=value")
    return name, value
