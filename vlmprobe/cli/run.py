"""``vlmprobe run``."""

from __future__ import annotations

from typing import Annotated

import typer

from vlmprobe.cli.options import (
    BatchSize,
    Boxes,
    Compile,
    Data,
    Device,
    Devices,
    Dtype,
    Layers,
    MaxPerCategory,
    New,
    Out,
    Templates,
    TrustRemoteCode,
    batch_size,
    device_list,
    layer_list,
    template_list,
)
from vlmprobe.cli.session import AsCsv, AsJson, Debug, Experiment, Home, Quiet, session

__all__ = ["register"]


def run(
    family: Annotated[str, typer.Argument(help="Model family: the architecture's code.")],
    data: Data,
    scales: Annotated[
        list[str] | None,
        typer.Option("--scale", help="Only this scale; may be repeated. Default: all known."),
    ] = None,
    templates: Templates = "published",
    boxes: Boxes = None,
    max_per_category: MaxPerCategory = 200,
    layers: Layers = "all",
    dtype: Dtype = "auto",
    device: Device = "auto",
    devices: Devices = "all",
    compile_layers: Compile = True,
    batch: BatchSize = "auto",
    new: New = False,
    trust_remote_code: TrustRemoteCode = False,
    out: Out = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    experiment: Experiment = None,
    home: Home = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Extract and analyze each scale of a family, then compare them."""
    with session(home, quiet=quiet, debug=debug, experiment=experiment) as current:
        from vlmprobe.cli.comparison import print_merged
        from vlmprobe.workflows.run import run_study

        result = run_study(
            current.settings,
            current.console,
            family=family,
            scales=scales or (),
            data=data,
            max_per_category=max_per_category,
            templates=template_list(templates),
            out=out,
            boxes=boxes,
            layers=layer_list(layers),
            dtype=dtype,
            device=device,
            devices=device_list(devices),
            compile=compile_layers,
            batch_size=batch_size(batch),
            new=new,
            trust_remote_code=trust_remote_code,
        )
        print_merged(result, current.settings, current.console, as_json=as_json, as_csv=as_csv)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "run", epilog="Example: vlmprobe run qwen25 --data EmbSpatial-Bench.tsv --scale vanilla --scale 80k"
    )(run)
