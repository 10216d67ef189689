"""Writes the demo's benchmark: an EmbSpatial-Bench TSV, the objects' boxes, and a datasheet."""

from __future__ import annotations

import base64
import json
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vlmprobe.demo.confounds import Confounds
from vlmprobe.demo.datasheet import COLUMNS, SWAP_COLUMN, Counts, Knobs, datasheet
from vlmprobe.demo.questions import benchmark_rows
from vlmprobe.demo.render import encode_png, render
from vlmprobe.demo.scenes import SceneOptions
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import SPACE
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.demo.questions import BenchmarkRow

__all__ = ["BenchmarkFiles", "build_benchmark"]


@dataclass(frozen=True, slots=True)
class BenchmarkFiles:
    """The files that `build_benchmark` wrote."""

    tsv: Path
    boxes: Path
    datasheet: Path
    n_rows: int
    swaps: Path | None = None
    """The rows' image swaps, where they were asked for, and their boxes."""
    swap_boxes: Path | None = None


def build_benchmark(
    folder: str | Path,
    *,
    pairs_per_category: int = 40,
    seed: int = 0,
    counter_share: float = 0.5,
    options: SceneOptions | None = None,
    confounds: Confounds | None = None,
    image_swaps: bool = False,
    swap_own_axis: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BenchmarkFiles:
    """Draw the benchmark into a folder, which is created if it is missing.

    The same arguments give the same bytes (with the same NumPy and Pillow). Each file appears whole or not
    at all; files of an earlier call are replaced.

    Args:
        folder: where ``benchmark.tsv``, ``boxes.json`` and ``DATASHEET.md`` go.
        pairs_per_category: rows of each of the six categories; of each axis twice as many, which ``confounds``
            may divide otherwise.
        seed: of everything random, 0 or more.
        counter_share: share of each category's rows in which the farther object is lower in the image.
        options: size, margins and number of objects of the scenes; those that the bundled checkpoints were
            trained on when None.
        confounds: what the rows give away besides their scenes; nothing when None.
        image_swaps: also write ``image_swaps.tsv`` and ``image_swaps_boxes.json``: each row once more, about the
            scene with its two objects in each other's places.
        swap_own_axis: exchange them on the question's own axis alone, which leaves the other relations as they are.
        progress: called with (rows done, rows in all) after each row.

    Raises:
        UsageError: an argument is out of range, or needs another one, or the folder cannot be written.

    """
    options, confounds = options or SceneOptions(), confounds or Confounds()
    if swap_own_axis and not image_swaps:
        raise UsageError(
            "--swap-own-axis says how the scenes of --image-swaps are exchanged; add --image-swaps"
        )
    rows = benchmark_rows(
        pairs_per_category, seed=seed, counter_share=counter_share, options=options, confounds=confounds
    )
    folder = Path(folder)
    n_rows = pairs_per_category * len(SPACE.categories)
    files = BenchmarkFiles(
        folder / "benchmark.tsv",
        folder / "boxes.json",
        folder / "DATASHEET.md",
        n_rows,
        folder / "image_swaps.tsv" if image_swaps else None,
        folder / "image_swaps_boxes.json" if image_swaps else None,
    )
    boxes: list[dict[str, Any]] = []
    swap_boxes: list[dict[str, Any]] = []
    letters: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    counter: Counter[str] = Counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            out = _open(stack, files.tsv, COLUMNS)
            swaps_out = None if files.swaps is None else _open(stack, files.swaps, (*COLUMNS, SWAP_COLUMN))
            for done, row in enumerate(rows, start=1):
                out.write(_tsv_line(_fields(row)))
                boxes.append(_boxes(row))
                if swaps_out is not None:
                    exchanged = row.exchanged(own_axis=swap_own_axis)
                    swaps_out.write(_tsv_line((*_fields(exchanged), row.question_id)))
                    swap_boxes.append(_boxes(exchanged))
                letters[row.answer] += 1
                categories[row.category] += 1
                counter[row.category] += row.perspective == "counter"
                if progress is not None:
                    progress(done, n_rows)
        _write_boxes(files.boxes, boxes)
        if files.swap_boxes is not None:
            _write_boxes(files.swap_boxes, swap_boxes)
        knobs = Knobs(pairs_per_category, seed, counter_share, options, confounds, image_swaps, swap_own_axis)
        counts = Counts(categories, counter, letters)
        with whole_file(files.datasheet) as partial:
            partial.write_bytes(datasheet(files.tsv.name, files.boxes.name, knobs, counts).encode())
    except OSError as error:
        raise UsageError(
            f"cannot write the demo benchmark to {folder}: {error.strerror or error}; choose another folder"
        ) from error
    return files


def _open(stack: ExitStack, path: Path, columns: tuple[str, ...]) -> BinaryIO:
    """Open a TSV that takes its name when the stack is left without an error."""
    out = stack.enter_context(stack.enter_context(whole_file(path)).open("wb"))
    out.write(_tsv_line(columns))
    return out


def _write_boxes(path: Path, boxes: list[dict[str, Any]]) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(("[\n" + ",\n".join(map(json.dumps, boxes)) + "\n]\n").encode())


def _fields(row: BenchmarkRow) -> tuple[str, ...]:
    image = base64.b64encode(encode_png(render(row.scene))).decode("ascii")
    return (
        str(row.index),
        row.question_id,
        str(row.category),
        row.question,
        image,
        row.answer,
        *row.options,
    )


def _tsv_line(fields: tuple[str, ...]) -> bytes:
    # Nothing that we write holds a tab, a quote or a line break, so no field needs quoting.
    return ("\t".join(fields) + "\n").encode()


def _boxes(row: BenchmarkRow) -> dict[str, Any]:
    return {
        "question_id": row.question_id,
        "objects": {
            "name": [thing.name for thing in row.scene.objects],
            "bbox": [list(thing.box) for thing in row.scene.objects],
        },
        "relation": str(row.category),
        "data_source": "vlmprobe-demo",
    }
