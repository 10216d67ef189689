"""``vlmprobe demo benchmark``."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from vlmprobe.cli.command import command
from vlmprobe.cli.options import AsJson, folder_to_make
from vlmprobe.errors import UsageError
from vlmprobe.workspace import Workspace

__all__ = ["benchmark"]


@command(example="vlmprobe demo benchmark mine --pairs 100 --counter-share 0.2")
def benchmark(
    workspace: Workspace,
    *,
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder for benchmark.tsv, boxes.json and DATASHEET.md.", callback=folder_to_make
        ),
    ],
    pairs: Annotated[int, typer.Option("--pairs", help="Questions in each of the six categories.")] = 40,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
    counter_share: Annotated[
        float,
        typer.Option("--counter-share", help="Share of scenes whose farther object is lower in the image."),
    ] = 0.5,
    image_size: Annotated[
        int, typer.Option("--image-size", help="Image size in pixels, a multiple of 28.")
    ] = 140,
    margin_x: Annotated[
        float,
        typer.Option("--margin-x", help="Minimum horizontal distance between the two objects, in pixels."),
    ] = 12.0,
    margin_y: Annotated[
        float, typer.Option("--margin-y", help="Minimum vertical distance between them, in pixels.")
    ] = 10.0,
    depth_ratio: Annotated[
        float, typer.Option("--depth-ratio", help="Minimum ratio of the two objects' depths.")
    ] = 1.35,
    size_jitter: Annotated[
        float, typer.Option("--size-jitter", help="How much true sizes vary (log scale).")
    ] = 0.25,
    objects: Annotated[
        str, typer.Option("--objects", help="Objects per scene: a number, or a range like 2-4.")
    ] = "2-4",
    name_leak: Annotated[
        float,
        typer.Option(
            "--name-leak",
            help="How often colors tell which object is higher or farther: 0.5 (not at all) to 1 (always).",
        ),
    ] = 0.5,
    uneven: Annotated[
        str,
        typer.Option("--uneven", help="Percent of left, above, far / right, below, close, such as 80/20."),
    ] = "50/50",
    mention_order: Annotated[
        str,
        typer.Option(
            "--mention-order", help="Whether two shapes are named in a fixed order: balanced or fixed."
        ),
    ] = "balanced",
    image_swaps: Annotated[
        bool,
        typer.Option("--image-swaps", help="Also draw each scene with its two objects exchanged."),
    ] = False,
    swap_own_axis: Annotated[
        bool,
        typer.Option(
            "--swap-own-axis",
            help="With --image-swaps: exchange the objects on the question's own axis alone.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draw a benchmark of scenes with known geometry, for any family. You choose the bias and the margins."""
    from vlmprobe.demo import Confounds, SceneOptions, build_benchmark

    fewest, most = _range(objects)
    options = SceneOptions(
        image_size=image_size,
        margin_x=margin_x,
        margin_y=margin_y,
        depth_ratio=depth_ratio,
        size_jitter=size_jitter,
        min_objects=fewest,
        max_objects=most,
    )
    confounds = Confounds(
        canonical_share=_canonical_share(uneven), name_leak=name_leak, mention_order=mention_order
    )
    with workspace.console.track("drawing the benchmark", 6 * max(pairs, 0)) as advance:
        files = build_benchmark(
            folder,
            pairs_per_category=pairs,
            seed=seed,
            counter_share=counter_share,
            options=options,
            confounds=confounds,
            image_swaps=image_swaps,
            swap_own_axis=swap_own_axis,
            progress=lambda *_: advance(1),
        )
    written = {"tsv": files.tsv, "boxes": files.boxes, "datasheet": files.datasheet}
    if files.swaps is not None and files.swap_boxes is not None:
        written |= {"image_swaps": files.swaps, "image_swaps_boxes": files.swap_boxes}
    if as_json:
        import json

        facts = {name: str(path) for name, path in written.items()}
        typer.echo(json.dumps({**facts, "rows": files.n_rows}, indent=1))
    else:
        for path in written.values():
            typer.echo(str(path))
    tsv, boxes = (shlex.quote(str(path)) for path in (files.tsv, files.boxes))
    workspace.console.say(f"{files.n_rows} questions; next: vlmprobe run tiny --data {tsv} --boxes {boxes}")


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", text.strip())
    if found is None:
        raise UsageError(f"--objects is {text!r}; pass a number, or a range like 2-4")
    fewest = int(found[1])
    return fewest, int(found[2] or fewest)


def _canonical_share(text: str) -> float:
    found = re.fullmatch(r"(\d{1,2}(?:\.\d+)?)/(\d{1,2}(?:\.\d+)?)", text.strip())
    if found is None or abs(float(found[1]) + float(found[2]) - 100) > 1e-9:
        raise UsageError(f"--uneven is {text!r}; pass two percentages that add up to 100, like 80/20")
    return float(found[1]) / 100
