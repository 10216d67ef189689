"""Writes the demo's benchmark: an EmbSpatial-Bench TSV, the objects' boxes, and a datasheet."""

from __future__ import annotations

import base64
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vlmprobe.demo.questions import LETTERS, benchmark_rows
from vlmprobe.demo.render import encode_png, render
from vlmprobe.demo.scenes import IMAGE_SIZE, MARGIN_X, MARGIN_Y, MIN_DEPTH_RATIO
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import CATEGORIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmprobe.demo.questions import BenchmarkRow

__all__ = ["BenchmarkFiles", "build_benchmark"]

_COLUMNS = ("index", "question_id", "category", "question", "image", "answer", *LETTERS)

_DATASHEET = """\
# The demo benchmark

{n_rows} questions about the spatial relation of two objects, {per_category} for each of {categories}.
Each has an image of its own: {size} x {size} pixels, RGB, a drawn scene of two to four coloured solids on a
checkered plane. Nothing in it is a photograph or comes from people.

* `{tsv}`: one row per question in the layout of EmbSpatial-Bench: {columns}.
  `image` is a PNG in base64, `answer` the letter of the right option. The category is what the first named
  object is to the second; of far and close rows, what the right option is to the other object listed.
* `{boxes}`: per question the names and boxes of all objects ([x, y, width, height] in pixels, clipped to the
  image, shadows left out).
* Seed {seed}. The truth comes from the scenes' geometry, not from an annotator.
* Margins, in every row: the two objects' centres are at least {margin_x:g} px apart across the image and
  {margin_y:g} px down it, and one is at least {depth_ratio:g} times as far from the camera as the other.
* Balance: in {n_counter} of {n_rows} rows, spread evenly over the categories, the farther object is the lower
  one in the image (counter); in the others it is the higher one (consistent).
* Options are shuffled; names are distinct within an image.

What it is for: a first look at the tool, and tests. Scores on it say nothing about photographs.

Make it again: `vlmprobe.demo.build_benchmark(folder, pairs_per_category={per_category}, seed={seed},
counter_share={counter_share})`. The same versions of NumPy and Pillow give the same bytes.
"""


@dataclass(frozen=True, slots=True)
class BenchmarkFiles:
    """What `build_benchmark` wrote."""

    tsv: Path
    boxes: Path
    datasheet: Path
    n_rows: int


def build_benchmark(
    folder: str | Path,
    *,
    pairs_per_category: int = 40,
    seed: int = 0,
    counter_share: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> BenchmarkFiles:
    """Draw the benchmark into a folder, which is made where it is missing.

    The same arguments give the same bytes (with the same NumPy and Pillow). Each file appears whole or not
    at all; files of an earlier call are replaced.

    Args:
        folder: where ``benchmark.tsv``, ``boxes.json`` and ``DATASHEET.md`` go.
        pairs_per_category: rows of each of the six categories.
        seed: of everything random, 0 or more.
        counter_share: share of each category's rows in which the farther object is lower in the image.
        progress: called with (rows done, rows in all) after each row.

    Raises:
        UsageError: an argument is out of range, or the folder cannot be written.

    """
    rows = benchmark_rows(pairs_per_category, seed=seed, counter_share=counter_share)
    folder = Path(folder)
    n_rows = pairs_per_category * len(CATEGORIES)
    files = BenchmarkFiles(folder / "benchmark.tsv", folder / "boxes.json", folder / "DATASHEET.md", n_rows)
    boxes: list[dict[str, Any]] = []
    n_counter = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _replacing(files.tsv) as out:
            out.write(_tsv_line(_COLUMNS))
            for done, row in enumerate(rows, start=1):
                out.write(_tsv_line(_fields(row)))
                boxes.append(_boxes(row))
                n_counter += row.perspective == "counter"
                if progress is not None:
                    progress(done, n_rows)
        with _replacing(files.boxes) as out:
            out.write(("[\n" + ",\n".join(map(json.dumps, boxes)) + "\n]\n").encode())
        with _replacing(files.datasheet) as out:
            out.write(_datasheet(files, pairs_per_category, seed, counter_share, n_counter).encode())
    except OSError as error:
        raise UsageError(
            f"cannot write the demo benchmark to {folder}: {error.strerror or error}; choose another folder"
        ) from error
    return files


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


def _datasheet(
    files: BenchmarkFiles, pairs_per_category: int, seed: int, counter_share: float, n_counter: int
) -> str:
    return _DATASHEET.format(
        n_rows=files.n_rows,
        per_category=pairs_per_category,
        categories=", ".join(CATEGORIES),
        size=IMAGE_SIZE,
        tsv=files.tsv.name,
        columns=", ".join(_COLUMNS),
        boxes=files.boxes.name,
        seed=seed,
        margin_x=MARGIN_X,
        margin_y=MARGIN_Y,
        depth_ratio=MIN_DEPTH_RATIO,
        n_counter=n_counter,
        counter_share=counter_share,
    )


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only once it is written: a reader never sees half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            yield out
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
