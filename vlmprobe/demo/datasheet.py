"""The datasheet of a drawn benchmark: what the files hold, and the command that makes them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.demo.confounds import Confounds, leaking_colours
from vlmprobe.demo.questions import LETTERS
from vlmprobe.demo.scenes import COLOURS, SHAPES, SceneOptions
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["COLUMNS", "SWAP_COLUMN", "Counts", "Knobs", "datasheet", "shares"]

#: Of the TSV.
COLUMNS = ("index", "question_id", "category", "question", "image", "answer", *LETTERS)
#: Of the TSV of image swaps, the last column: the question_id of the row in the first TSV.
SWAP_COLUMN = "swap_of"

_DATASHEET = """\
# A benchmark of drawn scenes

{n_rows} questions about the spatial relation of two objects, {categories}.
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
{on_purpose}* Options are shuffled (correct answers under A, B, C, D: {by_letter}); names are distinct within an image.

Use it to try the tool, to test, and to evaluate models trained on such scenes. Scores on it say nothing about
photographs.

Recreate it with:

    {command}

The same versions of NumPy and Pillow give the same bytes.
"""


_IMAGE_SWAPS = """\
* `image_swaps.tsv` and `image_swaps_boxes.json` hold each row once more, of the same index, about the scene with its
  two objects in each other's places: every relation is reversed, and the pictures differ only where the two are.
  `swap_of` is the question_id of the row in the first file. Places keep their apparent sizes."""

_OWN_AXIS_SWAPS = """\
* `image_swaps.tsv` and `image_swaps_boxes.json` hold each row once more, of the same index, about the scene with its
  two objects exchanged on the row's own axis alone: left and right rows exchange columns, above and below rows rows of
  pixels, far and close rows depths, with the apparent sizes and shadows that these give. No other relation of the two
  is reversed. `swap_of` is the question_id of the row in the first file."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """Everything that determines the files."""

    pairs_per_category: int
    seed: int
    counter_share: float
    options: SceneOptions
    confounds: Confounds
    image_swaps: bool
    swap_own_axis: bool = False

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
        honest, confounds = Confounds(), self.confounds
        if confounds.name_leak != honest.name_leak:
            words.append(f"--name-leak {confounds.name_leak:g}")
        if confounds.canonical_share != honest.canonical_share:
            words.append(f"--uneven {shares(confounds.canonical_share)}")
        if confounds.mention_order != honest.mention_order:
            words.append(f"--mention-order {confounds.mention_order}")
        if self.image_swaps:
            words.append("--image-swaps")
        if self.swap_own_axis:
            words.append("--swap-own-axis")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that were written."""

    categories: Mapping[str, int]
    """By category."""
    counter: Mapping[str, int]
    """Counter rows, by category."""
    letters: Mapping[str, int]
    """By the letter of the correct option."""


def datasheet(tsv: str, boxes: str, knobs: Knobs, counts: Counts) -> str:
    """Return the text of a datasheet.

    Args:
        tsv: the name of the file of rows.
        boxes: that of the file of boxes.
        knobs: everything that determines the files.
        counts: what was written.
    """
    options = knobs.options
    few, many = options.min_objects, options.max_objects
    return _DATASHEET.format(
        n_rows=sum(counts.categories.values()),
        categories=_categories(knobs, counts),
        size=options.image_size,
        objects=few if few == many else f"{few} to {many}",
        tsv=tsv,
        columns=", ".join(COLUMNS),
        boxes=boxes,
        seed=knobs.seed,
        margin_x=options.margin_x,
        margin_y=options.margin_y,
        depth_ratio=options.depth_ratio,
        jitter=options.size_jitter,
        n_counter=sum(counts.counter.values()),
        counter_by_category=", ".join(
            f"{category} {counts.counter[category]}" for category in SPACE.categories
        ),
        on_purpose="".join(f"{line}\n" for line in _on_purpose(knobs)),
        by_letter=", ".join(str(counts.letters[letter]) for letter in LETTERS),
        command=knobs.command,
    )


def shares(canonical: float) -> str:
    """Return a share of canonical categories as ``--uneven`` takes it: ``80/20``."""
    return f"{100 * canonical:.10g}/{100 * (1 - canonical):.10g}"


def _categories(knobs: Knobs, counts: Counts) -> str:
    if len(set(counts.categories.values())) == 1:
        return f"{knobs.pairs_per_category} for each of {', '.join(SPACE.categories)}"
    return ", ".join(f"{counts.categories[category]} {category}" for category in SPACE.categories)


def _on_purpose(knobs: Knobs) -> Iterator[str]:
    """Yield what only some benchmarks have: confounds, and image swaps."""
    confounds = knobs.confounds
    if confounds.name_leak > Confounds().name_leak:
        marked = leaking_colours(knobs.seed)
        others = [colour for colour in COLOURS if colour not in marked]
        yield (
            "* Names leak on purpose: with probability "
            f"{confounds.name_leak:g} the higher object of an above or below row, and the\n"
            f"  farther one of a far or close row, is {_or(marked)}, and as often the other one is {_or(others)}.\n"
            "  Left and right rows leak nothing. The pictures show the objects as they are named."
        )
    if confounds.canonical_share != Confounds().canonical_share:
        yield (
            f"* Uneven on purpose: {shares(confounds.canonical_share)} % of each axis's rows are left / right, "
            "above / below, far / close."
        )
    if confounds.mention_order != Confounds().mention_order:
        yield (
            "* The order of mention is fixed on purpose: in every row, the shape of the object that the category is\n"
            f"  about comes before that of the other one in the order {', '.join(SHAPES)}."
        )
    if knobs.image_swaps:
        yield _OWN_AXIS_SWAPS if knobs.swap_own_axis else _IMAGE_SWAPS


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
