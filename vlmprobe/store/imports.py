"""Imported studies in the database: pairs of which only index and category are known, quads as deltas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from vlmprobe.store.identity import utc_now
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import DatasetRow, QuadRow, SwapPairRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.pairs import Category
    from vlmprobe.store.shards import ShardFile

__all__ = ["ImportedPair", "commit_import", "register_imported_dataset"]


@dataclass(frozen=True, slots=True)
class ImportedPair:
    """What the old layout says of a pair."""

    pair_id: str
    category: Category
    position: int


def register_imported_dataset(
    connection: Connection, dataset_id: str, template: str, folder: Path, pairs: Sequence[ImportedPair]
) -> None:
    """Store the pairs of an imported study once; its scales share them."""
    known = connection.execute(
        select(DatasetRow.dataset_id).where(DatasetRow.dataset_id == dataset_id)
    ).first()
    if known is not None:
        return
    connection.execute(
        insert(DatasetRow).values(
            dataset_id=dataset_id,
            name=f"imported-{dataset_id[:8]}",
            path=str(folder),
            form="imported",
            options={},
            n_rows=len(pairs),
            created_at=utc_now(),
        )
    )
    insert_rows(
        connection,
        SwapPairRow,
        [
            {
                "dataset_id": dataset_id,
                "template": template,
                "pair_id": pair.pair_id,
                "origin": "row",
                "position": pair.position,
                "category": str(pair.category),
                "axis": str(pair.category.axis),
                "orig_expected": str(pair.category),
                "orig_opposite": str(pair.category.opposite),
                "swap_expected": str(pair.category.opposite),
                "swap_opposite": str(pair.category),
            }
            for pair in pairs
        ],
    )


def commit_import(
    connection: Connection, run_id: str, dataset_id: str, template: str, shards: Sequence[ShardFile]
) -> None:
    """Write the rows of an imported run's shards; quads that are deltas only get a row without a vertical pair."""
    del run_id  # each shard names it
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
