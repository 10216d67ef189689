"""Datasets in the database: registered once, with their pairs and their row problems."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from vlmprobe.pairs import Side
from vlmprobe.store.identity import utc_now
from vlmprobe.store.rows import chunked, insert_rows
from vlmprobe.store.schema import DatasetRow, RowProblemRow, SwapPairRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.pairs import Dataset, SwapPair

__all__ = ["pair_row", "register_dataset"]

#: A row in Python takes more memory than its pair.
_PAIRS_AT_A_TIME = 1024


def register_dataset(connection: Connection, dataset: Dataset) -> None:
    """Store a dataset, its row problems and, for each template, its pairs; the same again changes nothing."""
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


def _insert_dataset(connection: Connection, dataset: Dataset) -> None:
    connection.execute(
        insert(DatasetRow).values(
            dataset_id=dataset.dataset_id,
            name=dataset.name,
            path=os.fsencode(dataset.path).decode(errors="backslashreplace"),
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


def pair_row(dataset: Dataset, position: int, pair: SwapPair) -> dict[str, Any]:
    """Return the row of one pair; ``position`` is its place in the order of asking."""
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
