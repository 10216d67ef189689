"""Readers are found without being listed; a file that none of them reads is told what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmprobe.errors import InputError
from vlmprobe.pairs import read_dataset, readers
from vlmprobe.pairs.readers import known_readers

from ...generic_files import write_generic


def test_every_module_is_a_reader_with_a_name_of_its_own() -> None:
    """The most particular comes first; the name is what the database keeps."""
    modules = [path.stem for path in Path(readers.__file__).parent.glob("*.py") if path.stem != "__init__"]
    names = [reader.name for reader in known_readers()]
    assert sorted(names) == sorted(module.replace("_", "-") for module in modules)
    assert names[:2] == ["embspatial", "ready-made"]


def test_the_form_that_needs_the_most_columns_reads_a_file(tsv: Any) -> None:
    """A file of EmbSpatial's form stays one when it has the generic columns too."""
    row = tsv.horizontal()
    columns = ["subject", "reference", *row, "index", "question_id", "B", "C", "D"]
    assert read_dataset(tsv.write(row, columns=columns)).form == "embspatial"


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("tsv", ", line 1: the header lacks reference of form generic; known forms: embspatial: index"),
        ("csv", ", line 1: the header lacks reference of form generic"),
        ("jsonl", ", line 1: the first record lacks reference of form generic"),
        ("json", ", row 1: the first record lacks reference of form generic"),
        ("parquet", ": the file lacks reference of form generic"),
    ],
)
def test_what_a_file_of_no_known_form_lacks(tmp_path: Path, kind: str, where: str) -> None:
    """The line names the file, the place, the closest form and all forms with their kinds of file."""
    record = {"index": "1", "image": b"x", "subject": "cup", "category": "left"}
    path = write_generic(tmp_path, kind, [record])
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    assert str(caught.value).startswith(f"{path}{where}")
    assert "generic: image subject reference category (TSV, CSV, JSONL, JSON, parquet)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "IMAGE\tSubject\treference\tcategory",
            ", line 1: the header writes columns of form generic in another way ('IMAGE' for 'image', 'Subject' for "
            "'subject'); write them as the form does",
        ),
        (
            "image;subject;reference;category",
            ", line 1: the header separates its columns by ';'; separate them by tabs (TSV) or commas (CSV)",
        ),
    ],
)
def test_a_header_that_is_almost_one(tmp_path: Path, header: str, said: str) -> None:
    """Capital letters or another separator are told as such; names are not guessed."""
    path = tmp_path / "almost.tsv"
    path.write_text(f"{header}\n{header}\n")
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    assert str(caught.value) == f"{path}{said}"


def test_a_file_of_no_rows(tmp_path: Path) -> None:
    """Parquet has columns without rows."""
    columns = ("image", "subject", "reference", "category")
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in columns}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match="has columns but no rows; use a file with at least one pair"):
        read_dataset(tmp_path / "none.parquet")


def test_a_parquet_file_without_one_usable_row(tmp_path: Path) -> None:
    """Rows are called rows where there are no lines."""
    record = {"index": "1", "image": b"x", "subject": "cup", "reference": "book", "category": "left"}
    path = write_generic(tmp_path, "parquet", [record, {**record, "category": "on"}])
    with pytest.raises(InputError, match="starting with row 1, column image: image: text, not an image"):
        read_dataset(path)
