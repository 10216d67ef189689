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
    """Store a dataset's axes; of those that are built in, the words and colors stay in the code."""
    built_in = {str(axis): axis.facts for axis in SPACE}
    rows = [
        {
            "dataset_id": dataset_id,
            "axis": str(axis),
            "position": position,
            "canonical": str(axis.canonical),
            "opposite": str(axis.canonical.opposite),
            "details": None if axis.facts == built_in.get(axis) else axis.facts,
        }
        for position, axis in enumerate(axes)
    ]
    insert_rows(connection, AxisRow, rows)


@dataclass(frozen=True, slots=True)
class _Row:
    """An axis as it is stored."""

    axis: str
    details: str | None


def read_axes(connection: Connection, dataset_id: str) -> AxisSet:
    """Return the axes of a dataset, in their order; the built-in ones where none are stored."""
    rows = fetch_as(
        _Row,
        connection,
        "SELECT axis, details FROM axes WHERE dataset_id = $id ORDER BY position",
        {"id": dataset_id},
    )
    if not rows:
        return SPACE
    return AxisSet(
        tuple(_axis(json.loads(row.details)) if row.details else SPACE.axis(row.axis) for row in rows)
    )


def _axis(facts: dict[str, Any]) -> Axis:
    canonical, opposite = (
        Category(
            each["name"],
            color=each["color"],
            read_as=tuple(each["read_as"]),
            mentions=tuple(each["mentions"]),
            words=tuple(each["words"]),
        )
        for each in facts["categories"]
    )
    return Axis(
        facts["name"],
        canonical,
        opposite,
        color=facts["color"],
        marker=facts["marker"],
        questions=facts["questions"],
    )
