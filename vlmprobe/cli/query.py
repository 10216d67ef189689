"""``vlmprobe query``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session
from vlmprobe.errors import UsageError

__all__ = ["register"]


def query(
    name: Annotated[str | None, typer.Argument(help="The query; none lists them all.")] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter; may be repeated.", metavar="K=V")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the SQL instead of running it.")] = False,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Run one of the queries that ship with vlmprobe (folder queries/), or list them."""
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.query import ask_query, query_list

        if name is None:
            print_rows(query_list(), as_json=as_json, as_csv=as_csv)
            return
        given = dict(_split(text) for text in parameters or [])
        if show:
            from vlmprobe.workflows.query import query_text

            typer.echo(query_text(name))
            return
        table = ask_query(current.settings, current.console, name, given)
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        print_rows(rows, table.columns, as_json=as_json, as_csv=as_csv)


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--param {text!r}: write name=value")
    return name, value


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("query", epilog="Example: vlmprobe query accuracy/by_axis --param family=tiny")(query)
