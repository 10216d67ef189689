"""The generic form: both objects, what the one is to the other, and the image, as text, base64, bytes or a path."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, ClassVar

from vlmprobe.pairs.axes import ABOVE, BELOW, DEPTH, LEFT, RIGHT
from vlmprobe.pairs.boxes import parse_box
from vlmprobe.pairs.forms import (
    Contradiction,
    Draft,
    Reader,
    RowRejectedError,
    clean_object,
    read_category,
    same_objects,
)
from vlmprobe.pairs.prompts import PUBLISHED

if TYPE_CHECKING:
    from vlmprobe.pairs.axes import Category
    from vlmprobe.pairs.boxes import Box
    from vlmprobe.pairs.tables import Row

__all__ = ["READER", "GenericReader"]


class GenericReader(Reader):
    """Reads rows of ``image subject reference category`` from any kind of file, and boxes and depths with them."""

    name: ClassVar[str] = "generic"
    columns: ClassVar[tuple[str, ...]] = ("image", "subject", "reference", "category")
    optional: ClassVar[tuple[str, ...]] = (
        *("index", "id", "question_id"),
        *("subject_box", "reference_box", "subject_depth", "reference_depth"),
    )

    def drafts(self, row: Row) -> tuple[Draft]:
        """Build a row's pair in the published words."""
        category = read_category(self.axes, row.texts("category"), "category", "category")
        subject, reference = _object(row, "subject"), _object(row, "reference")
        boxes = _box(row, "subject_box"), _box(row, "reference_box")
        contradiction = same_objects(subject, reference) or _boxes_against(category, *boxes)
        depths = _number(row, "subject_depth"), _number(row, "reference_depth")
        _check_depths(category, *depths)
        orig, swap = PUBLISHED.ask(category, subject, reference)
        return (
            Draft(
                index=_index(row),
                category=category,
                orig=orig,
                swap=swap,
                image=row.image(self.image_column, _index_column(row) or "index"),
                subject=subject,
                reference=reference,
                question_id=row.text("question_id", "index").strip() or None,
                subject_box=boxes[0],
                reference_box=boxes[1],
                subject_depth=depths[0],
                reference_depth=depths[1],
                contradiction=contradiction,
            ),
        )


def _index_column(row: Row) -> str | None:
    return next((each for each in ("index", "id") if each in row.cells), None)


def _index(row: Row) -> str:
    column = _index_column(row)
    return str(row.number) if column is None else row.text(column, "index")


def _object(row: Row, column: str) -> str:
    name = clean_object(row.text(column, "objects"))
    if not name:
        raise RowRejectedError("objects", f"the row has no {column}", column)
    return name


def _box(row: Row, column: str) -> Box | None:
    if not row.has(column):
        return None
    value = row.cells[column]
    try:
        # In TSV and CSV a box is JSON text.
        return parse_box(json.loads(value) if isinstance(value, str) else value)
    except (ValueError, RecursionError) as error:
        why = "text that is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        raise RowRejectedError("box", why[:200], column) from None


def _number(row: Row, column: str) -> float | None:
    if not row.has(column):
        return None
    value = row.cells[column]
    try:
        number = (
            float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
        )
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RowRejectedError("depth", f"{str(value)[:40]!r} is not a number", column)
    return number


def _check_depths(category: Category, subject: float | None, reference: float | None) -> None:
    if category.axis != DEPTH or subject is None or reference is None:
        return
    # The canonical category of this axis says that the subject is the farther one.
    agrees = subject > reference if category.is_canonical else subject < reference
    if not agrees:
        why = f"category {category}, but the subject's depth is {subject:g} and the reference's {reference:g}"
        raise RowRejectedError("depth", why, "subject_depth")


def _boxes_against(category: Category, subject: Box | None, reference: Box | None) -> Contradiction | None:
    """Return how boxes deny a category: one is wholly on the other side of the other. An overlap denies nothing."""
    if subject is None or reference is None:
        return None
    first, last = (subject, reference) if category in (LEFT, ABOVE) else (reference, subject)
    if category in (LEFT, RIGHT):
        denied = first.x >= last.x + last.width and first.x + first.width > last.x
    elif category in (ABOVE, BELOW):
        denied = first.y >= last.y + last.height and first.y + first.height > last.y
    else:
        return None
    if not denied:
        return None
    where = f"{category.opposite} of" if category in (LEFT, RIGHT) else str(category.opposite)
    why = f"category {category}, but the subject's box is wholly {where} the reference's"
    return Contradiction(why, "subject_box")


READER = GenericReader
