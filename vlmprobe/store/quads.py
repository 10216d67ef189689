"""Quads in the database: links between pairs, and what boxes say about distance pairs."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from vlmprobe.errors import UsageError
from vlmprobe.store.datasets import pair_row
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import DatasetRow, QuadRow, SwapPairRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.pairs import Dataset, QuadSet

__all__ = ["register_quads"]


def register_quads(connection: Connection, dataset: Dataset, quads: QuadSet) -> None:
    """Store the quads of a registered dataset under its template: their pairs, links, perspectives; and the counts.

    The same boxes again change nothing. Boxes that fitted no pair (of another benchmark, say) give way to others.

    Raises:
        UsageError: other boxes were given for this dataset before; finished runs hold answers made with those.
    """
    digest = _digest(quads)
    row = connection.execute(
        select(DatasetRow.boxes).where(DatasetRow.dataset_id == dataset.dataset_id)
    ).one()
    before: dict[str, Any] | None = json.loads(row[0]) if isinstance(row[0], str) else row[0]
    if before and _fitted(before["counts"]) and before.get("digest") != digest:
        raise UsageError(
            f"the boxes give other quads for {dataset.name} than those of an earlier command "
            f"({_counts(before['counts'])} then, {_counts(quads.counts)} now); give the same boxes, or keep "
            "the two studies apart with --home"
        )
    of_dataset = (
        SwapPairRow.dataset_id == dataset.dataset_id,
        SwapPairRow.template == dataset.template,
    )
    there = connection.execute(
        select(SwapPairRow.pair_id).where(*of_dataset, SwapPairRow.perspective.is_not(None)).limit(1)
    ).first()
    if there is not None:
        return
    pairs = [pair_row(dataset, len(dataset.pairs) + place, pair) for place, pair in enumerate(quads.pairs)]
    insert_rows(connection, SwapPairRow, pairs)
    insert_rows(
        connection,
        QuadRow,
        [
            {
                "dataset_id": dataset.dataset_id,
                "template": dataset.template,
                "distance_pair_id": link.distance_pair_id,
                "vertical_pair_id": link.vertical_pair_id,
            }
            for link in quads.links
        ],
    )
    by_perspective: dict[str, list[str]] = {}
    for pair_id, perspective in quads.perspectives.items():
        by_perspective.setdefault(perspective, []).append(pair_id)
    for perspective, pair_ids in by_perspective.items():
        connection.execute(
            update(SwapPairRow)
            .where(*of_dataset, SwapPairRow.pair_id.in_(pair_ids))
            .values(perspective=perspective)
        )
    connection.execute(
        update(DatasetRow)
        .where(DatasetRow.dataset_id == dataset.dataset_id)
        .values(boxes={"digest": digest, "counts": dict(quads.counts)})
    )


def _digest(quads: QuadSet) -> str:
    facts = {
        "pairs": [(pair.pair_id, str(pair.category)) for pair in quads.pairs],
        "links": [(link.distance_pair_id, link.vertical_pair_id) for link in quads.links],
        "perspectives": sorted(quads.perspectives.items()),
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _fitted(counts: Any) -> bool:
    return any(dict(counts).get(outcome) for outcome in ("matched", "ambiguous"))


def _counts(counts: Any) -> str:
    return ", ".join(f"{count} {what}" for what, count in dict(counts).items())
