"""Writes the demo's benchmark: an EmbSpatial-Bench TSV, the objects' boxes, and a datasheet."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmprobe.demo.questions import LETTERS, benchmark_rows
from vlmprobe.demo.render import encode_png, render
from vlmprobe.demo.scenes import SceneOptions
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import SPACE
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.demo.questions import BenchmarkRow

__all__ = ["BenchmarkFiles", "build_benchmark"]

_COLUMNS = ("index", "question_id", "category", "question", "image", "answer", *LETTERS)

_DATASHEET = """\
# A benchmark of drawn scenes

{n_rows} questions about the spatial relation of two objects, {per_category} for each of {categories}.
Each has its own image ({size} x {size} pixels, RGB): a drawn scene of {objects} colored solids on a checkered
plane. The benchmark contains no photographs and no data from people.

* `{tsv}`: one row per question in the layout of EmbSpatial-Bench: {columns}.
  `image` is a PNG in base64, `answer` the letter of the correct option. The category says where the first
  named object is relative to the second. For far and close rows, it instead says where the correct option is
  relative to the other listed object.
* `{boxes}`: per question the names and boxes of all objects ([x, y, width, height] in pixels, clipped to the
  image, shadows left out).
* Seed {seed}. The truth comes from the scenes' geometry, not from an annotator.
* Margins, in every row: the two objects' centers are at least {margin_x:g} px apart horizontally and
  {margin_y:g} px apart vertically, and one is at least {depth_ratio:g} times as far from the camera as the other.
  True sizes vary by a factor of up to e^{jitter:g} each way, so that size alone does not settle the depth.
* Balance: in {n_counter} of {n_rows} rows, spread evenly over the categories, the farther object is the lower
  one in the image (counter); in the others it is the higher one (consistent). Counter rows of each category:
  {counter_by_category}.
* Options are shuffled (correct answers under A, B, C, D: {by_letter}); names are distinct within an image.

Use it to try the tool, to test, and to evaluate models trained on such scenes. Scores on it say nothing about
photographs.

Recreate it with:

    {command}

The same versions of NumPy and Pillow give the same bytes.
"""


@dataclass(frozen=True, slots=True)
class BenchmarkFiles:
    """The files that `build_benchmark` wrote."""

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
    options: SceneOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BenchmarkFiles:
    """Draw the benchmark into a folder, which is created if it is missing.

    The same arguments give the same bytes (with the same NumPy and Pillow). Each file appears whole or not
    at all; files of an earlier call are replaced.

    Args:
        folder: where ``benchmark.tsv``, ``boxes.json`` and ``DATASHEET.md`` go.
        pairs_per_category: rows of each of the six categories.
        seed: of everything random, 0 or more.
        counter_share: share of each category's rows in which the farther object is lower in the image.
        options: size, margins and number of objects of the scenes; those that the bundled checkpoints were
            trained on when None.
        progress: called with (rows done, rows in all) after each row.

    Raises:
        UsageError: an argument is out of range, or the folder cannot be written.

    """
    options = options or SceneOptions()
    rows = benchmark_rows(pairs_per_category, seed=seed, counter_share=counter_share, options=options)
    folder = Path(folder)
    n_rows = pairs_per_category * len(SPACE.categories)
    files = BenchmarkFiles(folder / "benchmark.tsv", folder / "boxes.json", folder / "DATASHEET.md", n_rows)
    boxes: list[dict[str, Any]] = []
    letters: Counter[str] = Counter()
    counter: Counter[str] = Counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(files.tsv) as partial, partial.open("wb") as out:
            out.write(_tsv_line(_COLUMNS))
            for done, row in enumerate(rows, start=1):
                out.write(_tsv_line(_fields(row)))
                boxes.append(_boxes(row))
                letters[row.answer] += 1
                counter[row.category] += row.perspective == "counter"
                if progress is not None:
                    progress(done, n_rows)
        with whole_file(files.boxes) as partial:
            partial.write_bytes(("[\n" + ",\n".join(map(json.dumps, boxes)) + "\n]\n").encode())
        knobs = _Knobs(pairs_per_category, seed, counter_share, options)
        with whole_file(files.datasheet) as partial:
            partial.write_bytes(_datasheet(files, knobs, letters, counter).encode())
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


@dataclass(frozen=True, slots=True)
class _Knobs:
    """Everything that determines the files."""

    pairs_per_category: int
    seed: int
    counter_share: float
    options: SceneOptions

    @property
    def command(self) -> str:
        """The command line that makes the files, in a folder of any name; default options are left out."""
        usual, options = SceneOptions(), self.options
        words = [f"vlmprobe demo benchmark FOLDER --pairs {self.pairs_per_category} --seed {self.seed}"]
        words.append(f"--counter-share {self.counter_share:g}")
        for name in ("image_size", "margin_x", "margin_y", "depth_ratio", "size_jitter"):
            if getattr(options, name) != getattr(usual, name):
                words.append(f"--{name.replace('_', '-')} {getattr(options, name):g}")
        if (options.min_objects, options.max_objects) != (usual.min_objects, usual.max_objects):
            words.append(f"--objects {options.min_objects}-{options.max_objects}")
        return " ".join(words)


def _datasheet(files: BenchmarkFiles, knobs: _Knobs, letters: Counter[str], counter: Counter[str]) -> str:
    options = knobs.options
    few, many = options.min_objects, options.max_objects
    return _DATASHEET.format(
        n_rows=files.n_rows,
        per_category=knobs.pairs_per_category,
        categories=", ".join(SPACE.categories),
        size=options.image_size,
        objects=few if few == many else f"{few} to {many}",
        tsv=files.tsv.name,
        columns=", ".join(_COLUMNS),
        boxes=files.boxes.name,
        seed=knobs.seed,
        margin_x=options.margin_x,
        margin_y=options.margin_y,
        depth_ratio=options.depth_ratio,
        jitter=options.size_jitter,
        n_counter=counter.total(),
        counter_by_category=", ".join(f"{category} {counter[category]}" for category in SPACE.categories),
        by_letter=", ".join(str(letters[letter]) for letter in LETTERS),
        command=knobs.command,
    )
