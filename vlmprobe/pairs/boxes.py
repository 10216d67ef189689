"""The boxes of the objects in a question's image, read once and validated here.

A row is ``{"question_id": ..., "objects": {"name": [...], "bbox": [[x, y, width, height], ...]}}`` as
FlagEval/EmbSpatial-Bench has it; ``objects`` may also be a list of ``{"name", "bbox"}``, or either of the two
as JSON text. Other columns (``relation``, ``data_source``, images) are ignored.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError
from vlmprobe.pairs.box_sources import raw_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Box", "BoxProblem", "Boxes", "normalize_name", "parse_box", "read_boxes"]

_SIDES = ("x", "y", "width", "height")
#: No image side comes near this; a larger number means damage, and its sums could overflow.
_LARGEST = 1e9
#: A file with more bad rows is not a file of boxes, and keeping every problem would fill the memory.
_MAX_PROBLEMS = 100_000


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the stored image; (0, 0) is the upper left corner, y grows downwards."""

    x: float
    y: float
    width: float
    height: float

    @property
    def center(self) -> tuple[float, float]:
        """The center (x, y)."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class BoxProblem:
    """A row without usable boxes, and why."""

    row: int
    """1-based, as the rows come."""
    what: str
    """``row``, ``question_id``, ``objects``, ``name`` or ``bbox``."""
    why: str


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of all questions of one source."""

    by_question: Mapping[str, Mapping[str, tuple[Box, ...]]]
    """Question id, then normalized name, to the different boxes that carry this name."""
    problems: tuple[BoxProblem, ...]
    n_rows: int
    """Rows, good and bad."""

    def find(self, question_id: str | None, name: str) -> tuple[Box, ...]:
        """Return the boxes of an object: none where it is unknown, several where the name is ambiguous."""
        if question_id is None:
            return ()
        return self.by_question.get(question_id, {}).get(normalize_name(name), ())


def normalize_name(name: str) -> str:
    """Return a name in comparable form: lower case, single spaces, no final period, no leading "the"."""
    bare = " ".join(name.split()).casefold().rstrip(" .")
    while bare.startswith("the "):
        bare = bare[4:]
    return bare


def parse_box(value: object) -> Box:
    """Read a list of x, y, width and height in pixels.

    Raises:
        ValueError: it is something else.
    """
    try:
        return _box(value)
    except _BadRowError as bad:
        raise ValueError(str(bad)) from None


def read_boxes(source: str | os.PathLike[str]) -> Boxes:
    """Read the boxes of a benchmark's objects.

    A row that is wrong in any part gives no box at all, since half of its objects could make a name look
    unique that is not. Rows with the same question id add up; a box that is there twice counts once.

    Args:
        source: a JSON list, a parquet file, a folder in the hub's layout, or a hub dataset id. The last two
            need the ``datasets`` package. All splits are read.

    Raises:
        InputError: it is missing, unreadable or no file of boxes, or no row of it gives boxes.
        MissingPackageError: ``datasets`` is needed and not installed.
    """
    source = os.fspath(source)
    gathered: dict[str, dict[str, dict[Box, None]]] = {}
    problems: list[BoxProblem] = []
    n_rows = 0
    for n_rows, row in enumerate(raw_rows(source), start=1):
        try:
            question_id, found = _read_row(row)
        except _BadRowError as bad:
            problems.append(BoxProblem(n_rows, bad.what, str(bad)))
            if len(problems) > _MAX_PROBLEMS:
                raise InputError(
                    f"{source}: more than {_MAX_PROBLEMS} rows give no boxes; the first is row "
                    f"{problems[0].row} "
                    f"({problems[0].what}: {problems[0].why}); use a file of boxes"
                ) from None
            continue
        of_question = gathered.setdefault(question_id, {})
        for name, box in found:
            of_question.setdefault(name, {})[box] = None
    if not gathered:
        raise InputError(_no_box(source, n_rows, problems))
    return Boxes(
        by_question={
            question_id: {name: tuple(boxes) for name, boxes in names.items()}
            for question_id, names in gathered.items()
        },
        problems=tuple(problems),
        n_rows=n_rows,
    )


class _BadRowError(Exception):
    """Becomes a ``BoxProblem`` once its row's number is known."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(why)
        self.what = what


def _read_row(row: object) -> tuple[str, list[tuple[str, Box]]]:
    if not isinstance(row, dict):
        raise _BadRowError("row", f"{_short(row)} is not an object with question_id and objects")
    question_id = _question_id(row.get("question_id"))
    return question_id, [(_name(name), _box(bbox)) for name, bbox in _named_boxes(row.get("objects"))]


def _question_id(value: object) -> str:
    # A TSV holds text where JSON may hold a number, and pandas turns 7 into 7.0 next to an empty cell.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise _BadRowError("question_id", "missing" if value is None else f"{_short(value)} is not an id")


def _named_boxes(objects: object) -> list[tuple[object, object]]:
    if isinstance(objects, str):
        try:
            objects = json.loads(objects)
        except (ValueError, RecursionError):
            raise _BadRowError("objects", f"text that is not JSON: {_short(objects)}") from None
    if isinstance(objects, dict):
        names, boxes = objects.get("name"), objects.get("bbox")
        if not isinstance(names, list) or not isinstance(boxes, list):
            raise _BadRowError("objects", "not two lists, name and bbox")
        if len(names) != len(boxes):
            raise _BadRowError("objects", f"{len(names)} names and {len(boxes)} boxes")
        named = list(zip(names, boxes, strict=True))
    elif isinstance(objects, list):
        if not all(isinstance(each, dict) for each in objects):
            raise _BadRowError("objects", "a list whose members are not all {name, bbox}")
        named = [(each.get("name"), each.get("bbox")) for each in objects]
    else:
        raise _BadRowError(
            "objects", "missing" if objects is None else f"{_short(objects)} is not a list of objects"
        )
    if not named:
        raise _BadRowError("objects", "the row has no object")
    return named


def _name(value: object) -> str:
    name = normalize_name(value) if isinstance(value, str) else ""
    if not name:
        raise _BadRowError("name", f"{_short(value)} is not a name")
    return name


def _box(value: object) -> Box:
    if not isinstance(value, list | tuple) or len(value) != len(_SIDES):
        raise _BadRowError("bbox", f"{_short(value)} is not a list of four numbers (x, y, width, height)")
    for side, number in zip(_SIDES, value, strict=True):
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise _BadRowError("bbox", f"{side} is {_short(number)}, not a number")
        if not abs(number) <= _LARGEST:  # so that NaN fails too
            raise _BadRowError("bbox", f"{side} is {_short(number)}, not a number of pixels")
        if number < 0 and side in ("width", "height"):
            raise _BadRowError("bbox", f"{side} is {_short(number)}, but must not be negative")
    x, y, width, height = (float(number) for number in value)
    return Box(x, y, width, height)


def _short(value: object) -> str:
    try:
        return repr(value)[:60]
    except (ValueError, RecursionError):  # an integer or a nesting too long to be written out
        return f"a {type(value).__name__}"


def _no_box(source: str, n_rows: int, problems: list[BoxProblem]) -> str:
    if not problems:
        return f"{source} has no rows; use a file with boxes for at least one question"
    first = problems[0]
    return (
        f"{source}: none of its {n_rows} rows gives boxes; correct the file, starting with row "
        f"{first.row}: {first.what}: {first.why}"
    )
