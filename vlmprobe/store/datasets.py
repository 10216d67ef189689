"""Datasets in the database: registered once, with their pairs and their row problems."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from vlmprobe.errors import UsageError
from vlmprobe.pairs import Side
from vlmprobe.store.axes import store_axes
from vlmprobe.store.identity import utc_now
from vlmprobe.store.kept_rows import renew_counts
from vlmprobe.store.places import places_of
from vlmprobe.store.rows import chunked, fetch_as, fetch_column, insert_rows
from vlmprobe.store.schema import DatasetRow, QuadRow, RowProblemRow, SwapPairRow

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from vlmprobe.pairs import Dataset, QuadSet, SwapPair

__all__ = [
    "DatasetCounts",
    "StoredDataset",
    "count_dataset",
    "find_datasets",
    "pair_row",
    "register_dataset",
    "register_quads",
    "stored_dataset",
]

#: Rows built at once; in Python, a row takes more memory than its pair.
_PAIRS_AT_A_TIME = 1024


def register_dataset(connection: Connection, dataset: Dataset) -> None:
    """Store a dataset, its row problems and its pairs under its template; repeating this changes nothing."""
    known = connection.execute(
        select(DatasetRow.dataset_id).where(DatasetRow.dataset_id == dataset.dataset_id)
    ).first()
    if known is None:
        _insert_dataset(connection, dataset)
    asked = connection.execute(
        select(SwapPairRow.pair_id)
        .where(SwapPairRow.dataset_id == dataset.dataset_id, SwapPairRow.template == dataset.template)
        .limit(1)
    ).first()
    if asked is not None:
        return
    place = 0
    for part in chunked(dataset.pairs, _PAIRS_AT_A_TIME):
        pairs = [pair_row(dataset, position, pair) for position, pair in enumerate(part, place)]
        insert_rows(connection, SwapPairRow, pairs)
        place += len(pairs)


def find_datasets(connection: Connection, text: str) -> list[str]:
    """Return the ids of the datasets that are called ``text``, or whose id begins so (6 characters at least)."""
    return fetch_column(
        connection,
        "SELECT dataset_id FROM datasets WHERE name = $text OR (length($text) >= 6 AND starts_with(dataset_id, $text))",
        {"text": text},
    )


@dataclass(frozen=True, slots=True)
class DatasetCounts:
    """A dataset, and how many of its rows gave a pair."""

    name: str
    path: str
    n_pairs: int
    """Its own, without those that are asked for quads alone."""
    n_of_quads: int
    """Those: the height question about the two objects of a distance question."""
    n_images: int
    """Of its own pairs; 0 where the images are unknown."""
    n_problems: int


def count_dataset(connection: Connection, dataset_id: str, template: str) -> DatasetCounts:
    """Count a dataset's pairs under one template, and its rows that gave none."""
    (counts,) = fetch_as(
        DatasetCounts,
        connection,
        """
        SELECT name, path,
            (SELECT count(*) FROM swap_pairs WHERE dataset_id = $id AND template = $template AND origin = 'row')
                AS n_pairs,
            (SELECT count(*) FROM swap_pairs WHERE dataset_id = $id AND template = $template AND origin = 'quad')
                AS n_of_quads,
            (SELECT count(DISTINCT image_sha256) FROM swap_pairs
                WHERE dataset_id = $id AND template = $template AND origin = 'row') AS n_images,
            (SELECT count(*) FROM row_problems WHERE dataset_id = $id) AS n_problems
        FROM datasets WHERE dataset_id = $id
        """,
        {"id": dataset_id, "template": template},
    )
    return replace(counts, path=str(places_of(connection).whole(counts.path)))


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """Where a dataset was read from, and how."""

    name: str
    path: Path
    form: str
    """The reader's name, or ``imported`` where ``path`` is a folder of results."""
    options: dict[str, Any]
    """Those that its id depends on; see ``Dataset.options``."""


def stored_dataset(connection: Connection, dataset_id: str) -> StoredDataset:
    """Return what is needed to read a dataset's file again."""
    name, path, form, options = connection.execute(
        select(DatasetRow.name, DatasetRow.path, DatasetRow.form, DatasetRow.options).where(
            DatasetRow.dataset_id == dataset_id
        )
    ).one()
    return StoredDataset(name, places_of(connection).whole(path), form, dict(options))


def _insert_dataset(connection: Connection, dataset: Dataset) -> None:
    connection.execute(
        insert(DatasetRow).values(
            dataset_id=dataset.dataset_id,
            name=dataset.name,
            path=os.fsencode(places_of(connection).stored(dataset.path)).decode(errors="backslashreplace"),
            form=dataset.form,
            options=dict(dataset.options),
            n_rows=dataset.n_rows,
            created_at=utc_now(),
        )
    )
    problems = [
        {
            "dataset_id": dataset.dataset_id,
            "line": problem.line,
            "what": problem.what,
            "why": problem.why,
            "column_name": problem.column,
        }
        for problem in dataset.problems
    ]
    insert_rows(connection, RowProblemRow, problems)
    store_axes(connection, dataset.dataset_id, dataset.axes)


def pair_row(dataset: Dataset, position: int, pair: SwapPair) -> dict[str, Any]:
    """Return the row of one pair; ``position`` is its place in the order of inference."""
    row: dict[str, Any] = {
        "dataset_id": dataset.dataset_id,
        "template": dataset.template,
        "pair_id": pair.pair_id,
        "origin": pair.origin,
        "position": position,
        "category": str(pair.category),
        "axis": str(pair.axis),
        "subject": pair.subject,
        "reference": pair.reference,
        "image_sha256": pair.image_sha256,
        "image_width": pair.image_width,
        "image_height": pair.image_height,
        "question_id": pair.question_id,
        "line": pair.line,
        "perspective": pair.perspective,
    }
    for side, question in zip(Side, pair.questions, strict=True):
        row[f"{side}_question"] = question.text
        row[f"{side}_expected"] = str(question.expected)
        row[f"{side}_opposite"] = str(question.opposite)
    return row


def register_quads(connection: Connection, dataset: Dataset, quads: QuadSet) -> None:
    """Store the quads of a registered dataset under its template: pairs, links, perspectives and counts.

    Storing the same boxes again changes nothing. Other boxes may replace those that matched no pair.

    Raises:
        UsageError: other boxes were given for this dataset before; finished runs hold answers made with those.
    """
    digest = _digest(quads)
    sql = "SELECT boxes FROM datasets WHERE dataset_id = $id"
    (stored,) = fetch_column(connection, sql, {"id": dataset.dataset_id})
    before: dict[str, Any] | None = json.loads(stored) if stored else None
    if before and _fitted(before["counts"]) and before.get("digest") != digest:
        raise UsageError(
            f"these boxes yield different quads for {dataset.name} than an earlier command's "
            f"({_counts(before['counts'])} then, {_counts(quads.counts)} now); pass the same boxes, or keep "
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
    # Runs that are complete were asked before there were boxes.
    renew_counts(connection, dataset.dataset_id, dataset.template)
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
