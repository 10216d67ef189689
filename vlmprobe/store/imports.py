"""Stores imported studies: index and category of each pair, further facts if known, and quads as deltas."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from vlmprobe.errors import UsageError
from vlmprobe.pairs import SPACE
from vlmprobe.store.axes import store_axes
from vlmprobe.store.identity import utc_now
from vlmprobe.store.kept_rows import renew_counts
from vlmprobe.store.places import places_of
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.rows import fetch, fill_nulls, insert_rows
from vlmprobe.store.schema import DatasetRow, QuadRow, SwapPairRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.pairs import Category, Origin
    from vlmprobe.store.shards import ShardFile

__all__ = ["ImportedPair", "commit_import", "register_imported_dataset"]


@dataclass(frozen=True, slots=True)
class ImportedPair:
    """A pair of the old layout, with any facts that came with it."""

    pair_id: str
    category: Category
    position: int
    origin: Origin = "row"
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further columns of ``swap_pairs``; None where unknown."""


def register_imported_dataset(
    connection: Connection,
    dataset_id: str,
    template: str,
    folder: Path,
    pairs: Sequence[ImportedPair],
    links: Sequence[tuple[str, str]] = (),
) -> None:
    """Store the pairs and quads of an imported study once; its scales share them.

    A scale that comes later adds what was not known before.

    Args:
        connection: in a transaction, which an error must undo.
        dataset_id: the study's.
        template: goes into every row.
        folder: where the study came from.
        pairs: those of origin ``row`` are the same for every scale.
        links: the known quads: distance pair, vertical pair.

    Raises:
        UsageError: an earlier scale contradicts a pair or quad.
    """
    known = connection.execute(
        select(DatasetRow.dataset_id).where(DatasetRow.dataset_id == dataset_id)
    ).first()
    if known is None:
        connection.execute(
            insert(DatasetRow).values(
                dataset_id=dataset_id,
                name=f"imported-{dataset_id[:8]}",
                path=places_of(connection).stored(folder),
                form="imported",
                options={},
                n_rows=sum(pair.origin == "row" for pair in pairs),
                created_at=utc_now(),
            )
        )
        store_axes(connection, dataset_id, SPACE)
    _add_pairs(connection, folder, [_row(dataset_id, template, pair) for pair in pairs])
    _add_links(connection, folder, dataset_id, template, links)


def commit_import(
    connection: Connection, dataset_id: str, template: str, shards: Sequence[ShardFile]
) -> None:
    """Write the rows of an imported run's shards; quads stored as deltas get rows without a vertical pair."""
    for shard in shards:
        commit_shard(connection, shard)
        if shard.kind == "deltas":
            insert_rows(
                connection,
                QuadRow,
                [
                    {"dataset_id": dataset_id, "template": template, "distance_pair_id": quad}
                    for quad in shard.pair_ids
                ],
            )


def _row(dataset_id: str, template: str, pair: ImportedPair) -> dict[str, Any]:
    category, opposite = str(pair.category), str(pair.category.opposite)
    return {
        "dataset_id": dataset_id,
        "template": template,
        "pair_id": pair.pair_id,
        "origin": pair.origin,
        "position": pair.position,
        "category": category,
        "axis": str(pair.category.axis),
        "orig_expected": category,
        "orig_opposite": opposite,
        "swap_expected": opposite,
        "swap_opposite": category,
        **pair.facts,
    }


def _add_pairs(connection: Connection, folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    place = {"id": rows[0]["dataset_id"], "template": rows[0]["template"]}
    before = {
        row["pair_id"]: row
        for row in fetch(
            connection, "SELECT * FROM swap_pairs WHERE dataset_id = $id AND template = $template", place
        )
    }
    more: list[Mapping[str, Any]] = []
    columns: set[str] = set()
    for row in rows:
        there = before.get(row["pair_id"], row)
        for column, value in row.items():
            # The order of quads' pairs may differ from scale to scale.
            if value is None or column == "position" or there[column] == value:
                continue
            if there[column] is not None:
                raise _other(folder, f"pair {row['pair_id'][:40]!r}", column, there[column], value)
            columns.add(column)
            if not more or more[-1] is not row:
                more.append(row)
    added = insert_rows(connection, SwapPairRow, rows)
    filled = fill_nulls(connection, SwapPairRow, sorted(columns), more)
    if added or filled:
        renew_counts(connection, place["id"], place["template"])


def _add_links(
    connection: Connection, folder: Path, dataset_id: str, template: str, links: Sequence[tuple[str, str]]
) -> None:
    before = {
        row["distance_pair_id"]: row["vertical_pair_id"]
        for row in fetch(
            connection,
            "SELECT * FROM quads WHERE dataset_id = $id AND template = $template",
            {"id": dataset_id, "template": template},
        )
    }
    for distance, vertical in links:
        if before.get(distance, vertical) != vertical:
            raise _other(folder, f"quad {distance[:40]!r}", "vertical_pair_id", before[distance], vertical)
    insert_rows(
        connection,
        QuadRow,
        [
            {
                "dataset_id": dataset_id,
                "template": template,
                "distance_pair_id": distance,
                "vertical_pair_id": vertical,
            }
            for distance, vertical in links
        ],
    )


def _other(folder: Path, what: str, column: str, before: object, now: object) -> UsageError:
    return UsageError(
        f"{folder}: {what}: {column} is {str(now)[:40]!r}, but {str(before)[:40]!r} in an earlier "
        "import with the same pairs; keep the two apart with --home"
    )
