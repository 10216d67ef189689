"""``vlmprobe sql``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import Output
from vlmprobe.workspace import Workspace

__all__ = ["sql"]


@command(
    example='vlmprobe sql "select family, scale, axis, acc_both from accuracy order by 1,2,3"', lists=True
)
def sql(
    workspace: Workspace,
    *,
    statement: Annotated[str, typer.Argument(help="One SELECT or EXPLAIN.", metavar='"SELECT ..."')],
    timeout: Annotated[
        float, typer.Option("--timeout", help="Stop the query after this many seconds.")
    ] = 60.0,
    max_rows: Annotated[int, typer.Option("--max-rows", help="Print at most this many rows.")] = 100_000,
    output: Output,
) -> None:
    """Query the database with SQL, read-only.

    Views: accuracy, accuracy_by_category, accuracy_by_perspective, consistency, pair_answers.
    """
    from vlmprobe.streams import as_utf8
    from vlmprobe.workflows.query import query_sql

    table = query_sql(workspace, as_utf8(statement), timeout_s=timeout, max_rows=max_rows)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    output.rows(rows, table.columns)
    if table.truncated:
        workspace.console.warn(f"only the first {max_rows} rows are shown; use --max-rows to see more")
