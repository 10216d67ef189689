"""Which dataset a file is whose rows contradict each other, and what an extraction says of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from vlmprobe.extraction.remarks import dataset_lines
from vlmprobe.pairs import read_dataset
from vlmprobe.store.datasets import register_dataset
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.study.selection import dataset_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write two rows that contradict each other, and one that no other contradicts."""
    Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    row = {"image": "a.png", "subject": "cup", "reference": "book", "category": "left"}
    rows = [row, row | {"category": "right"}, row | {"category": "above"}]
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def test_a_file_is_the_dataset_that_was_extracted(data: Path, tmp_path: Path) -> None:
    """With its contradicting rows where only that is stored, or where it is asked for."""
    database = DuckDBStore(tmp_path / "vlmprobe.duckdb")
    ensure_schema(database)
    without, every_row = read_dataset(data), read_dataset(data, allow_contradictions=True)
    assert dataset_of(database, data, 200) == without.dataset_id
    with database.transaction() as connection:
        register_dataset(connection, every_row)
    assert dataset_of(database, data, 200) == every_row.dataset_id
    with database.transaction() as connection:
        register_dataset(connection, without)
    assert dataset_of(database, data, 200) == without.dataset_id
    assert dataset_of(database, data, 200, allow_contradictions=True) == every_row.dataset_id


def test_allowed_contradictions_are_mentioned(data: Path) -> None:
    """A line says how many rows are asked about all the same, and shows the first."""
    (head, line, *_) = dataset_lines(read_dataset(data, allow_contradictions=True))
    assert head == "bench: 3 pairs from 3 rows (generic form)"
    assert line == (
        "2 rows contradict themselves or another row, and are asked all the same (line 1: left, but line 2 says right "
        "for the same objects of the same image)"
    )
    assert "2 rows give no pair (line 1: contradiction: left, but" in dataset_lines(read_dataset(data))[1]
