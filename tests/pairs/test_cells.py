"""Image cells: what is unambiguous is read, and of the rest a problem says what it is."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from vlmprobe.pairs import read_dataset
from vlmprobe.pairs.image_source import ImageFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _image() -> bytes:
    """Return a PNG whose base64 has padding, a plus and a slash."""
    for seed in range(100):
        buffer = io.BytesIO()
        pixels = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, "PNG")
        text = base64.b64encode(buffer.getvalue())
        if text.endswith(b"=") and b"+" in text and b"/" in text:
            return buffer.getvalue()
    raise AssertionError


IMAGE = _image()
TEXT = base64.b64encode(IMAGE).decode()
URL_TEXT = base64.urlsafe_b64encode(IMAGE).decode()

#: A cell of EmbSpatial's form that is read, and whether it was before cells were read more widely.
READ = {
    "base64": (TEXT, True),
    "in lines": ("\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76)), True),
    "a data URL": (f"data:image/png;base64,{TEXT}", True),
    "a data URL without a type": (f"data:;base64,{TEXT}", True),
    "without padding": (TEXT.rstrip("="), False),
    "in the alphabet for URLs": (URL_TEXT, False),
    "in that without padding": (URL_TEXT.rstrip("="), False),
    "escaped line breaks": ("\\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76)), False),
    "escaped slashes": (TEXT.replace("/", "\\/"), False),
    "what Python prints of base64 bytes": (repr(TEXT.encode()), False),
    "what Python prints of base64 in lines": (repr(base64.encodebytes(IMAGE)), False),
    "what Python prints of the bytes": (repr(IMAGE), False),
    "a list of one": (f"['{TEXT}']", False),
    "a list of one in JSON": (json.dumps([TEXT]), False),
    "a list of one data URL": (f"['data:image/png;base64,{TEXT}']", False),
    "in quotes": (f"'{TEXT}'", False),
    "a path": ("images/photo.png", True),
    "a path without an ending": ("./photo", True),
    "a list of one path": ("['images/photo.png']", True),
    "another row's index": ("first", False),
    "the index of a row that names one": ("second", False),
    "a later row's index": ("last", False),
}

#: A cell that is no image, and what the problem says it is.
REFUSED = {
    "an address": (
        "https://example.org/a.png",
        "an address (https://example.org/a.png), which is not downloaded",
    ),
    "a bucket": ("s3://bucket/key", "an address (s3://bucket/key)"),
    "a path that leads nowhere": ("images/none.png", "cannot read image "),
    "a path without a dot": (
        "images/photo",
        "not base64, no path with a dot and no row's index: 'images/photo'",
    ),
    "an index that no row has": ("17", "not base64, no path with a dot and no row's index: '17'"),
    "the row's own index": ("tested", "the index 'tested', whose row has this index in place of an image"),
    "an index of two rows": ("double", "the index 'double', which 2 rows have; make it unique"),
    "NaN": ("nan", "empty ('nan')"),
    "nothing": ("", "empty"),
    "a list of several": (f"['{TEXT}', '{TEXT}']", "an object of Python as text"),
    "what Python prints of an image": (
        "<PIL.Image.Image image mode=RGB size=8x6>",
        "an object of Python as text",
    ),
    "a dictionary": (f"{{'bytes': {IMAGE!r}, 'path': None}}", "an object of Python as text"),
    "hexadecimal": (IMAGE.hex(), "hexadecimal; write the image as base64"),
    "base64 of base64": (base64.b64encode(TEXT.encode()).decode(), "base64 of base64; encode it once"),
    "a data URL in plain text": ("data:image/svg+xml,%3Csvg%3E", "a data URL that is not base64"),
    "what a spreadsheet cuts off": ("iVBORw0KGgo" + "A" * 32756, "cut off after 32767 characters"),
    "both alphabets": (TEXT[:8] + "-_+/" + TEXT[12:], "not base64"),
    "AVIF": (b"\0\0\0\x20ftypavif" + bytes(40), "an AVIF image; known formats: BMP, GIF"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC image; known formats: "),
    "JPEG XL": (b"\xff\x0a" + bytes(40), "a JPEG XL image; known formats: "),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 image; known formats: "),
    "a video": (b"\0\0\0\x20ftypisom" + bytes(40), "a video (MP4); known formats: "),
    "an HTML page": (b"<!doctype html><title>404 Not Found</title>", "an HTML page; known formats: "),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "an SVG drawing; known formats: "),
    "PDF": (b"%PDF-1.7 and so on and so on", "a PDF; known formats: "),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS; fetch the file itself"),
    "NumPy": (b"\x93NUMPY\x01\0" + bytes(40), "a NumPy array; known formats: "),
    "anything else": (b"some other bytes, of any kind", "not a readable image; known formats: "),
}


@pytest.fixture
def bench(tsv: Any) -> Callable[[str], Path]:
    """Write a file whose fourth row has a cell, between rows that it can name, and images beside it."""
    folder = tsv.path.parent
    (folder / "images").mkdir()
    (folder / "images" / "photo.png").write_bytes(IMAGE)
    (folder / "photo").write_bytes(IMAGE)

    def write(cell: str) -> Path:
        cells = {"first": TEXT, "second": "first", "third": "last", "tested": cell, "last": TEXT}
        rows = [tsv.horizontal(index=index, image=each) for index, each in cells.items()]
        return tsv.write(*rows, *(tsv.horizontal(index="double", image=TEXT) for _ in range(2)))

    return write


@pytest.mark.parametrize("what", READ)
def test_a_cell_that_can_mean_one_thing_is_read(bench: Callable[[str], Path], tsv: Any, what: str) -> None:
    """The bytes are those of the image; a dataset that needs the wider rules has another id than before."""
    cell, _ = READ[what]
    dataset = read_dataset(bench(cell))
    assert [(problem.line, problem.what) for problem in dataset.problems] == [
        (dataset.pairs[-1].line + 1, "duplicate index")
    ]
    assert {dataset.image_bytes(pair) for pair in dataset.pairs} == {IMAGE}


@pytest.mark.parametrize("what", READ)
def test_a_file_that_was_read_before_keeps_its_id(bench: Callable[[str], Path], tsv: Any, what: str) -> None:
    """Only a pair that was a problem before makes another dataset."""
    bench("")  # for the images beside it
    cell, plain = READ[what]
    dataset = read_dataset(
        tsv.write(
            tsv.horizontal(index="first", image=TEXT),
            tsv.horizontal(image=cell),
            tsv.horizontal(index="second", image=TEXT),
            tsv.horizontal(index="last", image=TEXT),
        )
    )
    assert ("cells" not in dataset.options) is plain
    assert dataset.problems == ()


@pytest.mark.parametrize("what", REFUSED)
def test_of_any_other_cell_the_problem_says_what_it_is(bench: Callable[[str], Path], what: str) -> None:
    """And where it is, and what to do; the other rows are read."""
    cell, why = REFUSED[what]
    dataset = read_dataset(bench(cell if isinstance(cell, str) else base64.b64encode(cell).decode()))
    problem = dataset.problems[0]
    assert (problem.line, problem.what, problem.column) == (5, "image", "image")
    assert why in problem.why
    assert "\n" not in problem.why
    assert "cells" in dataset.options  # of the rows that name others


def test_a_path_that_exists_goes_before_an_index(bench: Callable[[str], Path], tsv: Any) -> None:
    """An index may have a dot too; it is one where there is no such file."""
    bench("")
    row = tsv.horizontal(index="images/photo.png", image=TEXT), tsv.horizontal(index="1.5", image=TEXT)
    dataset = read_dataset(
        tsv.write(*row, tsv.horizontal(image="images/photo.png"), tsv.horizontal(image="1.5"))
    )
    assert [isinstance(pair.image_source, ImageFile) for pair in dataset.pairs] == [False, False, True, False]
    assert dataset.problems == ()


@pytest.mark.parametrize("form", ["ready-made", "generic"])
def test_the_other_forms_read_the_same_cells(bench: Callable[[str], Path], tsv: Any, form: str) -> None:
    """A path, an index and printed bytes, in the columns of the form."""
    bench("")
    cells = [TEXT, "images/photo.png", "0", repr(IMAGE), "17"]
    if form == "ready-made":
        path = tsv.write(*(tsv.ready_made(image_base64=cell) for cell in cells))
    else:
        path = tsv.path.with_name("generic.csv")
        row = "{},{},cup,book,left\n"
        lines = (
            row.format(place, json.dumps(cell).replace('\\"', '""')) for place, cell in enumerate(cells[:3])
        )
        path.write_text("id,image,subject,reference,category\n" + "".join(lines) + "4,17,cup,book,left\n")
    dataset = read_dataset(path)
    assert {dataset.image_bytes(pair) for pair in dataset.pairs} == {IMAGE}
    assert [problem.what for problem in dataset.problems] == ["image"]
    assert dataset.form == form


def test_a_list_of_one_and_bytes_of_base64_in_json_and_parquet(tmp_path: Path) -> None:
    """They have lists and bytes of their own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"subject": "cup", "reference": "book", "category": "left"}
    json_lines = tmp_path / "bench.jsonl"
    cells = [[TEXT], [f"data:image/png;base64,{TEXT}"], {"bytes": [TEXT]}, [[TEXT]], [TEXT, TEXT], []]
    json_lines.write_text("".join(json.dumps(row | {"image": cell}) + "\n" for cell in cells))
    parquet = tmp_path / "bench.parquet"
    pq.write_table(pa.Table.from_pylist([row | {"image": cell} for cell in (IMAGE, TEXT.encode())]), parquet)
    for path, lines in ((json_lines, [5, 6]), (parquet, [])):
        dataset = read_dataset(path)
        assert {dataset.image_bytes(pair) for pair in dataset.pairs} == {IMAGE}
        assert [problem.line for problem in dataset.problems] == lines
        assert all("a list of" in problem.why for problem in dataset.problems)


def test_images_that_rows_name_are_held_one_at_a_time(tsv: Any) -> None:
    """Of the rows that others name the offset is kept, not the content."""
    heavy = base64.b64encode(IMAGE + bytes(2**18)).decode()
    rows = [tsv.horizontal(index=f"i{n}", image=heavy if n < 32 else f"i{n % 32}") for n in range(48)]
    path = tsv.write(*rows)
    tracemalloc.start()
    dataset = read_dataset(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(dataset.pairs) == 48
    assert peak < 20 * len(heavy)
