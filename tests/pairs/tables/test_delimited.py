"""Rows and where they lie in the file."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmprobe.pairs.swap_pair import RowProblem
from vlmprobe.pairs.tables import delimited
from vlmprobe.pairs.tables.delimited import DelimitedReader, DelimitedRow, parse_row


def _read(content: bytes) -> list[DelimitedRow | RowProblem]:
    return list(DelimitedReader(io.BytesIO(content)))


def test_rows_have_their_line_and_bytes() -> None:
    """A quoted field may hold a tab, a line break and quotes; blank lines count as lines only."""
    content = b'a\tb\n1\t2\n\n"x\ty\nz"\t"say ""hi"""\n3\t4'
    rows = _read(content)
    assert rows == [
        DelimitedRow(line=2, span=(4, 4), fields=["1", "2"]),
        DelimitedRow(line=4, span=(9, 21), fields=["x\ty\nz", 'say "hi"']),
        DelimitedRow(line=6, span=(30, 3), fields=["3", "4"]),
    ]
    for row in rows:
        assert isinstance(row, DelimitedRow)
        offset, length = row.span
        assert parse_row(content[offset : offset + length]) == row.fields


def test_byte_order_mark_and_carriage_returns() -> None:
    """A file from Windows reads like any other."""
    reader = DelimitedReader(io.BytesIO(b"\xef\xbb\xbfa\tb\r\n1\t2\r\n"))
    assert reader.header == ["a", "b"]
    assert list(reader) == [DelimitedRow(2, (8, 5), ["1", "2"])]


@pytest.mark.parametrize(
    ("row", "what", "why"),
    [
        (b"1\t2\t3", "columns", "3 columns where the header has 2"),
        (b"1", "columns", "1 columns where the header has 2"),
        (b"1\t\xff", "encoding", "not UTF-8 (byte 0xff on line 2)"),
        (b"1\t\0", "encoding", "a NUL byte; the file must be UTF-8 text"),
        (b"1\rx\t2", "quoting", "new-line character seen in unquoted field"),
        (b'1\t"2', "quoting", "a quote opens and never closes"),
    ],
)
def test_a_malformed_row_costs_only_itself(row: bytes, what: str, why: str) -> None:
    """The problem names the line and the next row is read as if nothing had been."""
    good = DelimitedRow(line=3, span=(len(b"a\tb\n" + row + b"\n"), 4), fields=["3", "4"])
    assert _read(b"a\tb\n" + row + b"\n3\t4\n") == [RowProblem(2, what, why), good]


def test_a_stray_quote_that_another_one_closes_costs_two_rows() -> None:
    """Where two rows have a stray quote each, the rows between are not swallowed."""
    rows = _read(b'a\tb\n"1\t2\n3\t4\n5\t"6\n7\t8\n')
    assert [(row.line, isinstance(row, DelimitedRow)) for row in rows] == [
        (2, False),
        (3, True),
        (4, False),
        (5, True),
    ]


def test_a_row_with_bad_bytes_in_its_second_line_is_one_problem() -> None:
    """A row that is well formed apart from its bytes is skipped as a whole."""
    assert _read(b'a\tb\n"1\n\xff\t"\t2\n3\t4\n') == [
        RowProblem(2, "encoding", "not UTF-8 (byte 0xff on line 3)"),
        DelimitedRow(4, (13, 4), ["3", "4"]),
    ]


def test_rows_that_are_too_long_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one long line nor a long quoted field is held in memory."""
    monkeypatch.setattr(delimited, "MAX_ROW_BYTES", 16)
    rows = _read(b"a\tb\n" + b"x" * 99 + b'\n1\t2\n"y\n' + b"z\t4\n" * 9)
    assert [row.line for row in rows if isinstance(row, RowProblem)] == [2, 4]
    assert [row.line for row in rows if isinstance(row, DelimitedRow)] == [3, *range(5, 14)]
    assert {row.what for row in rows if isinstance(row, RowProblem)} == {"size"}


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfea\0", b"a\0b\n", b'"a\tb\n1\t2\n'])
def test_no_header(content: bytes) -> None:
    """An empty file, another encoding or a header that never ends is an error, not a problem of a row."""
    with pytest.raises(ValueError, match=r"empty|header"):
        DelimitedReader(io.BytesIO(content))


fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(rows=st.lists(st.tuples(fields, fields, fields)), newline=st.sampled_from(["\n", "\r\n"]))
def test_what_csv_wrote_is_read_and_read_again(rows: list[tuple[str, ...]], newline: str) -> None:
    """Any text survives, and a row's bytes alone give the same fields."""
    text = io.StringIO(newline="")
    # Python 3.11 leaves a lone carriage return unquoted, which no reader can tell from the end of a line.
    writer = csv.writer(text, delimiter="\t", lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerows([("a", "b", "c"), *rows])
    content = text.getvalue().encode()
    found = _read(content)
    assert [tuple(row.fields) for row in found if isinstance(row, DelimitedRow)] == rows
    for row in found:
        assert isinstance(row, DelimitedRow)
        offset, length = row.span
        assert parse_row(content[offset : offset + length]) == row.fields


@given(content=st.binary(max_size=80) | st.text('a"\t\n\r1\0é', max_size=40).map(str.encode))
def test_any_bytes_are_rows_or_problems(content: bytes) -> None:
    """Nothing after a header raises, lines only go up, and each row's bytes read back."""
    content = b"a\tb\n" + content
    found = _read(content)
    lines = [row.line for row in found]
    assert lines == sorted(set(lines))
    for row in found:
        if isinstance(row, DelimitedRow):
            offset, length = row.span
            assert parse_row(content[offset : offset + length]) == row.fields
