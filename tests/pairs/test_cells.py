"""Image cells: what is unambiguous is read, and of the rest a problem says what it is."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

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


def _quoted(printed: str) -> str:
    quote_around = "'" if printed[1] == '"' else '"'
    return quote_around + printed + quote_around


AVIF = b"\0\0\0\x20ftypavif" + bytes(40)

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
    "a percent-encoded data URL": (f"data:image/png;base64,{quote(TEXT, safe='')}", False),
    "a data URL that is all percent-encoded": (quote(f"data:image/png;base64,{TEXT}", safe=""), False),
    "percent-encoded base64": (quote(TEXT, safe=""), False),
    "a data URL of percent-encoded bytes": (f"data:image/png,{quote(IMAGE)}", False),
    "a data URL without data:": (f"image/png;base64,{TEXT}", False),
    "a data URL of base64 only": (f"base64,{TEXT}", False),
    "a data URL with a space": (f"data:image/png;base64, {TEXT}", True),
    "a form's spaces for plus": (TEXT.replace("+", " "), False),
    "a form's spaces in a data URL": (f"data:image/png;base64,{TEXT.replace('+', ' ')}", False),
    "in pieces with spaces": (" ".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76)), True),
    "an object in JSON": (json.dumps({"bytes": TEXT, "path": "x.png"}), False),
    "an object in JSON with escapes": (json.dumps({"bytes": TEXT, "path": None}).replace("/", "\\/"), False),
    "an object of Python": (f"{{'bytes': {IMAGE!r}, 'path': None}}", False),
    "an object of a path": (json.dumps({"bytes": None, "path": "images/photo.png"}), True),
    "an object whose path is a data URL": (json.dumps({"path": f"data:image/png;base64,{TEXT}"}), False),
    "an object of a path alone": ("{'path': 'images/photo.png'}", True),
    "an object of a data URL": (json.dumps({"bytes": f"data:image/png;base64,{TEXT}"}), False),
    "a list of one object": (f"[{json.dumps({'bytes': TEXT})}]", False),
    "a list of the bytes": (json.dumps(list(IMAGE)), False),
    "an object of a list of the bytes": (json.dumps({"bytes": list(IMAGE)}), False),
    "an HTML tag": (f'<img src="data:image/png;base64,{TEXT}">', False),
    "an HTML tag in capitals": (
        f"<IMG alt='a > b' SRC='data:image/png;base64,{TEXT}' />".replace(" > ", " "),
        False,
    ),
    "an HTML tag of a path": ('<img width="8" src="images/photo.png"/>', True),
    "an HTML tag without quotes": ("<img src=images/photo.png>", True),
    "an image in Markdown": ("![a cup](images/photo.png)", True),
    "an image in CSS": (f"url(data:image/png;base64,{TEXT})", False),
    "quoted printed bytes": (_quoted(repr(IMAGE)), False),
    "quoted and escaped printed bytes": (json.dumps(repr(IMAGE)), False),
    "printed text of printed bytes": (repr(repr(IMAGE)), False),
    "quoted printed base64": (f'"{TEXT.encode()!r}"', False),
    "base64 in two quotes": (f'""{TEXT}""', False),
    "base64 in three quotes": (f"'''{TEXT}'''", False),
    "a bytearray": (f"bytearray({TEXT.encode()!r})", False),
    "a byte string of NumPy": (f"np.bytes_({TEXT.encode()!r})", False),
    "a text of NumPy": (f"np.str_('{TEXT}')", False),
    "a mark of byte order": (f"\ufeff{TEXT}", False),
    "a path of Windows": ("images\\photo.png", True),
    "a path of Windows from here": (".\\images\\photo.png", True),
    "a data URL with a parameter behind": (f"data:image/png;base64;charset=utf-8,{TEXT}", False),
    "with a semicolon behind": (TEXT + ";", False),
    "with too much padding": (TEXT + "==", False),
    "after base64:": (f"base64:{TEXT}", False),
    "a tuple of one": (f"('{TEXT}',)", False),
    "a path object": ("PosixPath('images/photo.png')", True),
    "JSON in JSON": (json.dumps(json.dumps({"bytes": TEXT, "path": None})), False),
    "an escaped HTML tag": ("&lt;img src=&quot;images/photo.png&quot;&gt;", True),
    "an HTML tag in others": ("<p><a href='x'><img src='images/photo.png'></a></p>", True),
    "a raw text of Python": ("r'images\\photo.png'", True),
    "curly quotes": (f"\u201c{TEXT}\u201d", False),
    "backticks": (f"`{TEXT}`", False),
    "a quoted path": ('"images/photo.png"', True),
    "a path with a space": ("images/my photo.png", True),
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
    "text": (b"some other bytes, of any kind", "text, not an image ('some other bytes, of any kind')"),
    "anything else": (b"\xfe\xed\xfa\xce" + bytes(range(128, 250)), "not a readable image; known formats: "),
    "zero bytes": (bytes(5000), "nothing but zero bytes, as an interrupted copy leaves them"),
    "a JPEG in hexadecimal": ("ffd8ffe0" + "00104a46" * 40, "hexadecimal; write the image as base64"),
    "bytes of PostgreSQL": (f"\\x{IMAGE.hex()}", "hexadecimal; write the image as base64"),
    "a file URL": (
        "file:///data/my%20cup.png",
        "a file URL (file:///data/my%20cup.png); write the path itself, /data/my cup.png",
    ),
    "a file URL with a host": ("file://localhost/data/cup.png", "write the path itself, /data/cup.png"),
    "a short file URL": ("file:/data/cup", "a file URL (file:/data/cup); write the path itself, /data/cup"),
    "a quoted file URL": ("'file:///data/cup.png'", "a file URL (file:///data/cup.png)"),
    "an address without a scheme": ("www.example.org/cup.png", "an address (www.example.org/cup.png)"),
    "an image of the hub": ("hf://datasets/a/b/cup.png", "an address (hf://datasets/a/b/cup.png)"),
    "a path of a Windows drive": ("C:\\data\\cup.png", "it is a path as Windows writes it; write it with /"),
    "that with slashes": ("C:/data/cup.png", "it is a path as Windows writes it; write it with /"),
    "a share of Windows": ("\\\\server\\share\\cup.png", "it is a path as Windows writes it"),
    "a path of Windows that leads nowhere": ("images\\none.png", "it is a path as Windows writes it"),
    "that without a dot": ("images\\none", "a path as Windows writes it (images\\none)"),
    "a path from a home folder": ("~/images/photo.png", "~ stands for no folder here; write the whole path"),
    "a percent-encoded path": (
        "images/my%20photo.png",
        "images/my photo.png; write % only where a name has one",
    ),
    "base64 cut off by a display": (
        TEXT[:60] + "...",
        "base64 that was cut off where it was printed ('iVBORw0KGgo",
    ),
    "base64 cut out by a display": (
        TEXT[:60] + "\u2026" + TEXT[-9:],
        "base64 that was cut off where it was printed",
    ),
    "a formula": ('=HYPERLINK("images/photo.png")', "a formula of a spreadsheet ('=HYPERLINK("),
    "a blob of a browser": ("blob:https://example.org/1-2", "an address (blob:https://example.org/1-2)"),
    "a part of a mail": ("cid:image001.png@01D", "an address (cid:image001.png@01D)"),
    "an index as pandas writes it": ("3.0", "no row has this index either; check the index"),
    "a printed tensor": ("tensor([[0.1, 0.2]])", "an object of Python as text"),
    "base85": (base64.b85encode(IMAGE).decode(), "not base64 ("),
    "several paths": ("images/photo.png;images/none.png", "these are several paths; write one image a row"),
    "a folder": ("./images", "images is a folder"),
    "a path of a text": ("images/notes.txt", "images/notes.txt: text, not an image ('cup left of book')"),
    "a path of an empty file": ("images/empty.png", "images/empty.png: empty; known formats"),
    "a path of a PDF": ("images/page.pdf", "images/page.pdf: a PDF; known formats"),
    "a path of AVIF under another name": ("images/avif.png", "images/avif.png: an AVIF image; known formats"),
    "an HTML tag of an address": (
        '<img src="https://example.org/a.png">',
        "an address (https://example.org/a.png)",
    ),
    "two HTML tags": ('<img src="a.png"><img src="b.png">', "markup ('<img src="),
    "an HTML tag without a source": ("<img alt='cup'>", "markup ("),
    "SVG as text": ("<svg xmlns='http://www.w3.org/2000/svg'/>", "markup ("),
    "an object with other keys": (
        '{"height": "6", "width": "8"}',
        "an object with the keys height, width; use",
    ),
    "an object without anything": ('{"bytes": null, "path": null}', "empty"),
    "an object of an address": (
        '{"bytes": null, "path": "https://example.org/a.png"}',
        "an address (https://example.org/a.png)",
    ),
    "an object in an object": ('{"image": {"bytes": "x"}}', "an object of Python as text"),
    "AVIF in a data URL": (f"data:image/avif;base64,{base64.b64encode(AVIF).decode()}", "an AVIF image"),
    "a percent-encoded AVIF": (
        f"data:image/avif,{quote(AVIF)}",
        "a data URL that is not base64 (an AVIF image)",
    ),
    "a printed array": ("[[[255 0 0]\n  [1 2 3]]]", "an object of Python as text"),
    "numbers that are no image": ("[1, 2, 3, 4]", "not a readable image"),
    "WAV": (b"RIFF\0\0\0\0WAVEfmt ", "audio or video (RIFF)"),
    "parquet": (b"PAR1" + bytes(range(128, 250)), "a parquet file; known formats"),
}


@pytest.fixture
def bench(tsv: Any) -> Callable[[str], Path]:
    """Write a file whose fourth row has a cell, between rows that it can name, and images beside it."""
    folder = tsv.path.parent
    (folder / "images").mkdir()
    (folder / "images" / "photo.png").write_bytes(IMAGE)
    (folder / "images" / "my photo.png").write_bytes(IMAGE)
    (folder / "images" / "notes.txt").write_text("cup left of book")
    (folder / "images" / "empty.png").touch()
    (folder / "images" / "page.pdf").write_bytes(b"%PDF-1.7 and so on")
    (folder / "images" / "avif.png").write_bytes(AVIF)
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
