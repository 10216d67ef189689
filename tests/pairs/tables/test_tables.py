"""Kinds of file: told apart by content, read a row at a time, damaged in one row or as a whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmprobe.errors import InputError
from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables import json_document, json_lines, open_table, parquet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[str, tuple[str, ...], list[Any]]]:
    """Read bytes as a table: its kind, its columns, and each row's line and cells or its problem."""

    def run(content: bytes, columns: tuple[str, ...] = ("a", "b")) -> tuple[str, tuple[str, ...], list[Any]]:
        path = tmp_path / "file"
        path.write_bytes(content)
        with open_table(path) as table:
            rows = [
                row if isinstance(row, RowProblem) else (row.line, row.number, dict(row.cells))
                for row in table.rows(columns)
            ]
            assert table.position == len(content) or not rows
            return table.kind, table.columns, rows

    return run


def _parquet(tmp_path: Path, table: pa.Table, **options: Any) -> bytes:
    pq.write_table(table, tmp_path / "made.parquet", **options)
    return (tmp_path / "made.parquet").read_bytes()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a\tb\n1\t2\n", "TSV"),
        (b"a,x\tb\n1\t2\n", "TSV"),
        (b"a,b\n1,2\n", "CSV"),
        (b'\xef\xbb\xbfa,b\n"1",2\n', "CSV"),
        (b'{"a": 1}\n', "JSONL"),
        (b'\xef\xbb\xbf\n {"a": 1}\n{"a": 2}\n', "JSONL"),
        (b'{"a": 1', "JSONL-refused"),
        (b'{"a":\n [1]}\n', "JSON"),
        (b'\xef\xbb\xbf [{"a": 1}]', "JSON"),
    ],
)
def test_kinds_are_told_apart_by_content(read: Any, content: bytes, kind: str) -> None:
    """The file's name does not matter; a document over several lines is no JSONL."""
    if kind.endswith("refused"):
        with pytest.raises(
            InputError, match=r"no record; line 1: not JSON \(.*\); use JSONL, one object a line"
        ):
            read(content)
    else:
        assert read(content)[0] == kind


def test_csv_has_the_lines_and_quotes_of_tsv(read: Any) -> None:
    """Quoted line breaks, a row too short and blank lines keep the lines of the rows after them."""
    kind, columns, rows = read(b'b,a,a\n1,"x,\ny",z\n\n3\n5,"say ""hi""",6\n')
    assert (kind, columns) == ("CSV", ("b", "a", "a"))
    assert rows == [
        (2, 1, {"a": "x,\ny", "b": "1"}),
        RowProblem(5, "columns", "1 columns where the header has 3"),
        (6, 3, {"a": 'say "hi"', "b": "5"}),
    ]


def test_lines_of_json(read: Any) -> None:
    """A bad line costs itself; columns are the first record's; blank lines count as lines only."""
    content = (
        b'\n{"a": 1\n{"a": [1], "c": 2}\n\n"text"\n{"b": "\xff"}\n{}\n' + b"[" * 100_000 + b'\n{"b": null}'
    )
    kind, columns, rows = read(content)
    assert (kind, columns) == ("JSONL", ("a", "c"))
    assert [(row.line, row.what) for row in rows if isinstance(row, RowProblem)] == [
        (2, "json"),
        (5, "json"),
        (6, "encoding"),
        (8, "json"),
    ]
    assert [row for row in rows if not isinstance(row, RowProblem)] == [
        (3, 2, {"a": [1]}),
        (7, 5, {}),
        (9, 7, {"b": None}),
    ]


def test_a_line_that_is_too_long_is_skipped(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never held in memory as a whole."""
    monkeypatch.setattr(json_lines, "MAX_ROW_BYTES", 16)
    _, _, rows = read(b'{"a": 1}\n' + b"x" * 99 + b'\n{"a": 2}\n')
    assert rows == [
        (1, 1, {"a": 1}),
        RowProblem(2, "size", "the row has more than 16 bytes"),
        (3, 3, {"a": 2}),
    ]


def test_members_of_a_json_list_are_rows(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or one object is the only row; a document is held whole, so a large one is refused."""
    assert read(b'[1, {"a": 1},\n{"b": 2}]')[2] == [
        RowProblem(1, "json", "a number, not an object"),
        (2, 2, {"a": 1}),
        (3, 3, {"b": 2}),
    ]
    assert read(b'{\n"a": 1}')[2] == [(1, 1, {"a": 1})]
    with pytest.raises(InputError, match="the JSON holds no object; use JSONL"):
        read(b"[]")
    with pytest.raises(InputError, match=r"not JSON \(Expecting value.*\); use JSONL"):
        read(b"[1, ")
    monkeypatch.setattr(json_document, "MAX_DOCUMENT_BYTES", 2**20)
    with pytest.raises(InputError, match="larger than 1 MiB; use JSONL"):
        read(json.dumps(["x" * 2**20]).encode())


def test_rows_of_parquet(read: Any, tmp_path: Path) -> None:
    """Only the columns that are asked for are read; the row is its number."""
    table = pa.table({"c": [1, 2, 3], "a": ["x", None, "z"], "b": [[1.5], [], None]})
    kind, columns, rows = read(_parquet(tmp_path, table, row_group_size=2))
    assert (kind, columns) == ("parquet", ("c", "a", "b"))
    assert rows == [
        (1, 1, {"a": "x", "b": [1.5]}),
        (2, 2, {"a": None, "b": []}),
        (3, 3, {"a": "z", "b": None}),
    ]


def test_a_cell_of_parquet_that_cannot_be_read_costs_its_row(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text that is no UTF-8, and a cell that is too large."""
    not_text = pa.array([b"x", b"\xff", b"y" * 99]).view(pa.string())
    monkeypatch.setattr(parquet, "MAX_ROW_BYTES", 60)
    _, _, rows = read(_parquet(tmp_path, pa.table({"a": not_text})))
    assert rows[0] == (1, 1, {"a": "x"})
    assert [(row.line, row.what, row.column) for row in rows[1:]] == [(2, "encoding", "a"), (3, "size", "a")]


def test_damaged_parquet_is_an_error_of_a_line(read: Any, tmp_path: Path) -> None:
    """A footer that is gone and a page that is damaged: which file, and what to do."""
    content = _parquet(tmp_path, pa.table({"a": [str(n) * 50 for n in range(100)]}), compression="zstd")
    for damaged in (content[:-9], content[:40] + b"\xff" * 40 + content[80:], b"PAR1"):
        with pytest.raises(
            InputError, match=r"file: damaged or unreadable parquet \(.*\); recreate the file"
        ):
            read(damaged)
