"""Mirrored pictures: image swaps of the left/right pairs of any benchmark, made of the pictures that it has.

In a mirrored picture whatever was left of something is right of it, and above, below, far and close stay what they
were. So only pairs of the horizontal axis have such a partner. Text, faces and hands are mirrored too.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import ImageError, InputError, UsageError
from vlmprobe.pairs.axes import HORIZONTAL
from vlmprobe.pairs.forms import RowRejectedError, clean_object
from vlmprobe.pairs.image_source import in_file
from vlmprobe.pairs.images import decode_image
from vlmprobe.pairs.quads import both_boxes
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables import MAX_ROW_BYTES
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vlmprobe.pairs.boxes import Box, Boxes
    from vlmprobe.pairs.dataset import Dataset
    from vlmprobe.pairs.swap_pair import SwapPair

__all__ = ["Mirrored", "mirrored_pairs", "write_mirrored"]

#: Of a picture in base64, in characters: a quarter of a row is left for names, more than they can fill.
_MAX_TEXT = MAX_ROW_BYTES * 3 // 4


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What `write_mirrored` wrote, and what it could not."""

    path: Path
    n_pairs: Mapping[str, int]
    """Pairs of each category, as they are in the mirrored pictures."""
    n_images: int
    """Different pictures among them."""
    problems: tuple[RowProblem, ...]
    """Left/right pairs without a mirrored picture, by the benchmark's line."""


def mirrored_pairs(dataset: Dataset) -> list[SwapPair]:
    """Return the pairs whose relation a mirror reverses, those outside the sample too, in file order.

    Raises:
        UsageError: there is none, or the file spells its questions out and names no objects.
    """
    if any(pair.subject is None or pair.reference is None for pair in dataset.made):
        raise UsageError(
            f"{dataset.path} contains its own questions ({dataset.form} form) and names no objects, which the "
            "questions about mirrored pictures need; write it in the generic form (docs/data.md)"
        )
    relation = " or ".join(HORIZONTAL.categories)
    if not any(axis == HORIZONTAL and axis.categories == HORIZONTAL.categories for axis in dataset.axes):
        raise UsageError(
            f"the benchmark's axes are {', '.join(dataset.axes)}; a mirror reverses {relation} alone, the axis "
            f"{HORIZONTAL}"
        )
    found = [pair for pair in dataset.made if pair.axis == HORIZONTAL]
    if not found:
        raise UsageError(f"{dataset.path} has no pair of {relation}, and a mirror reverses no other relation")
    return found


def write_mirrored(
    dataset: Dataset,
    path: Path,
    *,
    boxes: Boxes | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Mirrored:
    """Write the left/right pairs of a benchmark about mirrored pictures: JSONL in the generic form.

    Index, question id, objects and depths stay; the category is the other one, boxes are mirrored with their picture.
    So each pair that is written is an image swap of the one it was made of, under every template. Pictures are stored
    as PNG in base64, of the RGB pixels that a model is shown. One picture is held at a time.

    Args:
        dataset: the benchmark.
        path: the file to write; one that is there is replaced once the new one is complete.
        boxes: of the objects, in the pictures as they are; where they lack a pair's, those of its own row count.
        progress: called with (pairs done, pairs in all) after each pair.

    Raises:
        UsageError: as :func:`mirrored_pairs`.
        InputError: no picture can be mirrored, or one has changed since it was read.
    """
    pairs = mirrored_pairs(dataset)
    problems: list[RowProblem] = []
    written: Counter[str] = Counter()
    images: set[str] = set()
    kept: tuple[str, str | ImageError] = ("", "")
    with whole_file(path) as partial, partial.open("w", encoding="ascii", newline="\n") as out:
        for done, pair in enumerate(pairs, start=1):
            if kept[0] != pair.image_sha256:
                kept = pair.image_sha256, _picture(dataset, pair)
            picture = kept[1]
            if isinstance(picture, ImageError):
                problems.append(RowProblem(pair.line, "image", str(picture)))
            else:
                out.write(json.dumps({**_facts(pair, boxes), "image": picture}) + "\n")
                written[pair.category.opposite] += 1
                images.add(pair.image_sha256)
            if progress is not None:
                progress(done, len(pairs))
        if not written:
            first = problems[0]
            raise InputError(
                f"{dataset.path}: no picture can be mirrored; the first is of {dataset.unit} {first.line}: {first.why}"
            )
    counts = {str(category): written[category] for category in HORIZONTAL.categories}
    return Mirrored(path, counts, len(images), tuple(problems))


def _picture(dataset: Dataset, pair: SwapPair) -> str | ImageError:
    """Return a pair's picture mirrored, as PNG in base64, or why there is none."""
    from PIL.Image import Transpose

    try:
        shown = decode_image(dataset.image_bytes(pair))
    except ImageError as error:
        return in_file(pair.image_source.file, error)
    mirrored = shown.transpose(Transpose.FLIP_LEFT_RIGHT)
    if mirrored.tobytes() == shown.tobytes():
        return ImageError("the picture is its own mirror image")
    # Pillow would write the color profile and more into the PNG; a model is shown pixels alone.
    mirrored.info.clear()
    buffer = io.BytesIO()
    mirrored.save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    if len(text) > _MAX_TEXT:
        return ImageError(f"mirrored, it is a PNG of more than {_MAX_TEXT * 3 // 4 // 2**20} MiB")
    return text


def _facts(pair: SwapPair, boxes: Boxes | None) -> dict[str, Any]:
    """Return everything but the picture as columns of the generic form; what a pair lacks is left out."""
    assert pair.subject is not None  # noqa: S101 - pairs without objects were refused
    assert pair.reference is not None  # noqa: S101
    subject_box, reference_box = pair.subject_box, pair.reference_box
    if boxes is not None:
        with suppress(RowRejectedError):
            subject_box, reference_box = both_boxes(pair, pair.subject, pair.reference, boxes)
    facts = {
        "index": pair.pair_id,
        "question_id": pair.question_id,
        "subject": _to_be_read(pair.subject),
        "reference": _to_be_read(pair.reference),
        "category": str(pair.category.opposite),
        "subject_box": _mirrored_box(subject_box, pair.image_width),
        "reference_box": _mirrored_box(reference_box, pair.image_width),
        "subject_depth": pair.subject_depth,
        "reference_depth": pair.reference_depth,
    }
    return {column: value for column, value in facts.items() if value is not None}


def _to_be_read(name: str) -> str:
    """Return what a reader makes this very name of: it drops one "the" and the final period."""
    return name if clean_object(name) == name else f"the {name} ."


def _mirrored_box(box: Box | None, width: int) -> list[float] | None:
    """Return a box in the mirrored picture of this width, in pixels, as the generic form has it."""
    return None if box is None else [width - box.x - box.width, box.y, box.width, box.height]
