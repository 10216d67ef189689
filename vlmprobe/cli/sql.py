"""``vlmprobe sql``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.session import AsCsv, AsJson, Debug, Home, Quiet, session

__all__ = ["register"]


def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT or EXPLAIN.", metavar='"SELECT ..."')],
    timeout: Annotated[float, typer.Option("--timeout", help="Stop the query after so many seconds.")] = 60.0,
    max_rows: Annotated[int, typer.Option("--max-rows", help="Print at most so many rows.")] = 100_000,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Ask the database anything; it is only read.

    Views: accuracy, accuracy_by_category, accuracy_by_perspective, consistency, pair_answers.
    """
    with session(home, quiet=quiet, debug=debug) as current:
        from vlmprobe.cli.console import print_rows
        from vlmprobe.workflows.query import ask

        table = ask(current.settings, current.console, statement, timeout_s=timeout, max_rows=max_rows)
        rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        print_rows(rows, table.columns, as_json=as_json, as_csv=as_csv)
        if table.truncated:
            current.console.warn(f"only the first {max_rows} rows are shown; --max-rows shows more")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "sql",
        epilog='Example: vlmprobe sql "select family, scale, axis, acc_both from accuracy order by 1,2,3"',
    )(sql)
