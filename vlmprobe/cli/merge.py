"""``vlmprobe merge``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.options import MaxPerCategory, OnData, Out, Scales, TemplateName
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def merge(
    families: Annotated[list[str], typer.Argument(help="Families to compare.", metavar="FAMILY...")],
    scales: Scales = None,
    data: OnData = None,
    max_per_category: MaxPerCategory = 200,
    template: TemplateName = "published",
    out: Out = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare the analyzed runs of a study: report.html, summary.csv and figures."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.comparison import print_merged
        from vlmprobe.workflows.merge import merge as run_merge

        result = run_merge(
            current.settings,
            current.console,
            families=families,
            scales=scales or (),
            data=data,
            max_per_category=max_per_category,
            template=template,
            out=out,
        )
        print_merged(result, current.settings, current.console, as_json=as_json, as_csv=as_csv)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("merge", epilog="Example: vlmprobe merge qwen25 --out report")(merge)
