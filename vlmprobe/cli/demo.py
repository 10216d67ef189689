"""``vlmprobe demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.options import Out
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def demo(
    scales: Annotated[
        str, typer.Option("--scales", help="Bundled scales to run, separated by commas; empty = all.")
    ] = "",
    out: Out = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw a benchmark and run five fine-tuning scales of a tiny Qwen2.5-VL on it. Needs no download and no GPU."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.merged import print_merged
        from vlmprobe.workflows.demo import demo as run_demo

        chosen = [scale.strip() for scale in scales.split(",") if scale.strip()]
        result = run_demo(current.settings, current.console, scales=chosen, out=out)
        print_merged(result.merged, current.settings, current.console, as_json=as_json, as_csv=as_csv)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", epilog="Example: vlmprobe demo --scales vanilla,2m --out demo")(demo)
