"""``vlmprobe demo``, and under it ``benchmark`` and ``train``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli import demo_benchmark, demo_train
from vlmprobe.cli.options import Out
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["app"]

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    epilog="Example: vlmprobe demo --scales vanilla,2m --out demo",
)


@app.callback()
def demo(
    context: typer.Context,
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
    if context.invoked_subcommand is not None:
        return
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.comparison import print_merged
        from vlmprobe.workflows.demo import demo as run_demo

        chosen = [scale.strip() for scale in scales.split(",") if scale.strip()]
        result = run_demo(current.settings, current.console, scales=chosen, out=out)
        print_merged(result.merged, current.settings, current.console, as_json=as_json, as_csv=as_csv)


for _module in (demo_benchmark, demo_train):
    _module.register(app)
