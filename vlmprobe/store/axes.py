"""The axes of a dataset in the database: one row an axis, in the order of all tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.pairs import SPACE, Axis, AxisSet, Category
from vlmprobe.store.rows import fetch_as, insert_rows
from vlmprobe.store.schema import AxisRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["read_axes", "store_axes"]


def store_axes(connection: Connection, dataset_id: str, axes: AxisSet) -> None:
    """Store a dataset's axes; of a built-in one the words and colors stay in the code."""
    rows = [
        {
            "dataset_id": dataset_id,
            "axis": str(axis),
            "position": position,
            "canonical": str(axis.canonical),
            "opposite": str(axis.canonical.opposite),
            "details": None if axis in SPACE.axes else _details(axes, axis),
        }
        for position, axis in enumerate(axes)
    ]
    insert_rows(connection, AxisRow, rows)


@dataclass(frozen=True, slots=True)
class _Row:
    """An axis as it is stored."""

    axis: str
    canonical: str
    opposite: str
    details: str | None


def read_axes(connection: Connection, dataset_id: str) -> AxisSet:
    """Return the axes of a dataset; the built-in ones where it has none of its own."""
    rows = fetch_as(
        _Row,
        connection,
        "SELECT axis, canonical, opposite, details FROM axes WHERE dataset_id = $id ORDER BY position",
        {"id": dataset_id},
    )
    details = [json.loads(row.details) if row.details else None for row in rows]
    if not any(details):
        return SPACE
    made = [
        SPACE.axis(row.axis) if one is None else _axis(row, one)
        for row, one in zip(rows, details, strict=True)
    ]
    return AxisSet(next(one["set"] for one in details if one), tuple(made))


def _details(axes: AxisSet, axis: Axis) -> dict[str, Any]:
    return {
        "set": axes.name,
        "color": axis.color,
        "marker": axis.marker,
        "questions": dict(axis.questions),
        "categories": [
            {"color": each.color, "read_as": each.read_as, "mentions": each.mentions, "words": each.words}
            for each in axis.categories
        ],
    }


def _axis(row: _Row, details: dict[str, Any]) -> Axis:
    canonical, opposite = (
        Category(
            name,
            color=each["color"],
            read_as=tuple(each["read_as"]),
            mentions=tuple(each["mentions"]),
            words=tuple(each["words"]),
        )
        for name, each in zip((row.canonical, row.opposite), details["categories"], strict=True)
    )
    return Axis(
        row.axis,
        canonical,
        opposite,
        color=details["color"],
        marker=details["marker"],
        questions=details["questions"],
    )
