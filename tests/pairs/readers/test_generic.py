"""The generic form: any kind of file, images as paths, base64 or bytes, boxes and depths in the rows."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import InputError
from vlmprobe.extraction.image_loader import quick_turns
from vlmprobe.pairs import Box, HeldImage, RowProblem, link_quads, read_boxes, read_dataset

from ...generic_files import KINDS, generic_records, write_generic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.pairs import Dataset, SwapPair


def _bare(pair: SwapPair) -> SwapPair:
    """Leave out what says where a pair is."""
    return replace(
        pair,
        line=0,
        image_source=HeldImage(b""),
        subject_box=None,
        reference_box=None,
        question_id=pair.question_id,
    )


@pytest.fixture(scope="module")
def demo(benchmark: Callable[..., Path]) -> Dataset:
    """Read the demo's TSV of 24 pairs."""
    return read_dataset(benchmark(4))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a JSONL of rows that each give a pair, but for what is changed, and their images."""
    from PIL import Image

    for n, color in enumerate(("red", "blue")):
        Image.new("RGB", (8 + n, 6), color).save(tmp_path / f"{n}.png")
    good = {"image": "0.png", "subject": "cup", "reference": "book", "category": "left"}

    def run(*rows: dict[str, Any] | str) -> Path:
        lines = (row if isinstance(row, str) else json.dumps({**good, **row}) for row in rows)
        path = tmp_path / "bench.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_those_of_the_tsv(demo: Dataset, tmp_path: Path, kind: str) -> None:
    """Ids, objects, questions, images and their sizes are equal, whatever kind of file they come from."""
    dataset = read_dataset(write_generic(tmp_path, kind, generic_records(demo)))
    assert (dataset.form, dataset.template, dataset.problems) == ("generic", "published", ())
    assert [*map(_bare, dataset.pairs)] == [*map(_bare, demo.pairs)]
    assert [*map(dataset.image_bytes, dataset.pairs)] == [*map(demo.image_bytes, demo.pairs)]
    assert dataset.under("yes-no").pairs[0].orig == demo.under("yes-no").pairs[0].orig
    assert (dataset.unit, dataset.pairs[0].line) == {
        **dict.fromkeys(("tsv", "csv"), ("line", 2)),
        "jsonl": ("line", 1),
        **dict.fromkeys(("json", "parquet"), ("row", 1)),
    }[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_in_the_rows_make_the_quads_of_a_file_of_boxes(
    demo: Dataset, benchmark: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    """The links, the pairs and the perspectives are equal; so they are when the file of boxes comes on top."""
    boxes = benchmark(4).with_name("boxes.json")
    dataset = read_dataset(write_generic(tmp_path, kind, generic_records(demo, boxes)))
    assert dataset.has_boxes
    assert not demo.has_boxes
    expected = link_quads(demo, read_boxes(boxes))
    for found in (link_quads(dataset), link_quads(dataset, read_boxes(boxes))):
        assert (found.links, found.perspectives, found.counts) == (
            expected.links,
            expected.perspectives,
            expected.counts,
        )
        assert [*map(_bare, found.pairs)] == [*map(_bare, expected.pairs)]
    assert len(expected.links) == 8


def test_a_file_of_boxes_goes_before_boxes_in_the_rows(write: Any, tmp_path: Path) -> None:
    """Where the file has no box for a pair, those of its row count; a row without both says so."""
    own = {"category": "far", "subject_box": [0, 4, 2, 2], "reference_box": [0, 0, 2, 2]}
    path = write(own | {"question_id": "q"}, own, {"category": "far", "subject_box": [0, 4, 2, 2]})
    other = tmp_path / "boxes.json"
    objects = {"name": ["cup", "book"], "bbox": [[0, 0, 2, 2], [0, 4, 2, 2]]}
    other.write_text(json.dumps([{"question_id": "q", "objects": objects}]))
    dataset = read_dataset(path)
    assert link_quads(dataset).perspectives == {"1": "counter", "2": "counter"}
    quads = link_quads(dataset, read_boxes(other))
    assert quads.perspectives == {"1": "consistent", "2": "counter"}
    assert quads.problems == (RowProblem(3, "no_box", "the row has no question_id", "question_id"),)
    assert link_quads(dataset).problems == (RowProblem(3, "no_box", "the row has no box", "reference_box"),)


def test_an_image_is_a_path_base64_a_data_url_or_bytes_with_a_path(write: Any, tmp_path: Path) -> None:
    """A text with a dot is a path; the rest is base64, and ./ names a file without an ending."""
    content = (tmp_path / "0.png").read_bytes()
    (tmp_path / "photo").write_bytes(content)
    text = base64.b64encode(content).decode()
    cells = ["0.png", str(tmp_path / "0.png"), "./photo", text, f"data:image/vnd.png;base64,{text}"]
    cells += [{"bytes": text, "path": "gone.png"}, {"bytes": None, "path": "0.png"}, {"path": "0.png"}]
    dataset = read_dataset(write(*({"image": cell} for cell in cells)))
    assert dataset.problems == ()
    assert [dataset.image_bytes(pair) for pair in dataset.pairs] == [content] * len(cells)
    own = [pair.image_source.file is not None for pair in dataset.pairs]
    assert own == [True, True, True, False, False, False, True, True]


@pytest.mark.parametrize("lines", [False, True], ids=["list", "lines"])
def test_a_record_without_an_image_is_a_problem(write: Any, tmp_path: Path, *, lines: bool) -> None:
    """The key is missing in this record alone; the message says what is empty, in either kind of file."""
    write({}, {})
    records = [json.loads(line) for line in (tmp_path / "bench.jsonl").read_text().splitlines()]
    del records[1]["image"]
    path = tmp_path / ("other.jsonl" if lines else "other.json")
    path.write_text("\n".join(map(json.dumps, records)) if lines else json.dumps(records))
    dataset = read_dataset(path)
    assert len(dataset.pairs) == 1
    (problem,) = dataset.problems
    assert (problem.line, problem.what, problem.why, problem.column) == (2, "image", "empty", "image")


@pytest.mark.parametrize(
    ("changed", "what", "column", "why"),
    [
        ("{", "json", None, "not JSON (Expecting property name"),
        ("[1]", "json", None, "a list, not an object"),
        ({"category": "behind"}, "category", "category", "unknown category 'behind'"),
        ({"category": None}, "category", "category", "unknown category ''"),
        ({"category": ["left"]}, "category", "category", "a list, not text"),
        ({"subject": " . "}, "objects", "subject", "the row has no subject"),
        ({"reference": None}, "objects", "reference", "the row has no reference"),
        ({"reference": "the Cup."}, "objects", None, "both objects are 'cup'"),
        ({"subject": "a\0b"}, "encoding", "subject", "a NUL character"),
        ({"subject": "\ud800"}, "encoding", "subject", "half of a surrogate pair"),
        ({"index": ""}, "index", "index", "the row has no index"),
        ({"id": "1"}, "duplicate index", "index", "'1' is already the index of line 1"),
        ({"image": None}, "image", "image", "empty"),
        ({"image": 7}, "image", "image", "a number; use a path, base64, bytes or {bytes, path}"),
        ({"image": "gone.png"}, "image", "image", "cannot read image"),
        ({"image": "."}, "image", "image", "is a folder"),
        ({"image": "images/cup"}, "image", "image", "not base64"),
        ({"image": "bench.jsonl"}, "image", "image", "bench.jsonl: text, not an image"),
        ({"subject_box": [1, 2, 3]}, "box", "subject_box", "[1, 2, 3] is not a list of four numbers"),
        ({"reference_box": "1, 2, 3, 4"}, "box", "reference_box", "text that is not JSON"),
        ({"subject_depth": "near"}, "depth", "subject_depth", "'near' is not a number"),
        ({"reference_depth": float("nan")}, "depth", "reference_depth", "'nan' is not a number"),
    ],
)
def test_a_bad_row_is_a_problem(
    write: Any, changed: dict[str, Any] | str, what: str, column: str | None, why: str
) -> None:
    """Each thing that can be wrong is a problem of that line and column, and the rows around it stay."""
    dataset = read_dataset(write({}, changed, {}))
    assert [pair.line for pair in dataset.pairs] == [1, 3]
    (problem,) = dataset.problems
    assert (problem.line, problem.what, problem.column) == (2, what, column)
    assert problem.why.startswith(why) or why in problem.why


@pytest.mark.parametrize("value", [7, 7.0, "7"])
def test_a_number_is_an_index(write: Any, value: object) -> None:
    """JSON has numbers where a TSV has text, and pandas turns 7 into 7.0 next to an empty cell."""
    dataset = read_dataset(write({"index": value, "question_id": value}, {"id": "8"}, {}))
    assert [(pair.pair_id, pair.question_id) for pair in dataset.pairs] == [
        ("7", "7"),
        ("8", None),
        ("3", None),
    ]


@pytest.mark.parametrize(("category", "good", "bad"), [("far", (9, 4.5), (4, 4)), ("near", (1, "2"), (2, 1))])
def test_depths_must_agree_with_the_category(
    write: Any, category: str, good: tuple[Any, Any], bad: tuple[Any, Any]
) -> None:
    """A larger depth is farther; the rule is for the distance axis, and for rows with both depths."""
    rows = [{"category": category, "subject_depth": s, "reference_depth": r} for s, r in (good, bad)]
    rows += [{**rows[1], "category": "left"}, {"category": category, "subject_depth": 3}]
    dataset = read_dataset(write(*rows))
    assert [pair.line for pair in dataset.pairs] == [1, 3, 4]
    assert (dataset.pairs[0].subject_depth, dataset.pairs[0].reference_depth) == (good[0], float(good[1]))
    (problem,) = dataset.problems
    assert (problem.line, problem.what, problem.column) == (2, "depth", "subject_depth")
    assert "but the subject's depth is" in problem.why


def test_the_id_follows_the_images_and_not_the_folder(write: Any, tmp_path: Path) -> None:
    """A moved folder is the same dataset; another picture under the same name, or a missing one, another one."""
    path = write({}, {"image": "1.png"})
    copy = shutil.copytree(tmp_path, tmp_path.with_name("moved")) / path.name
    first = read_dataset(path).dataset_id
    assert read_dataset(copy).dataset_id == first
    shutil.copy(copy.with_name("0.png"), copy.with_name("1.png"))
    changed = read_dataset(copy).dataset_id
    copy.with_name("1.png").unlink()
    missing = read_dataset(copy).dataset_id
    copy.with_name("0.png").unlink()
    shutil.copy(path.with_name("0.png"), copy.with_name("1.png"))
    # The same picture is left, but of the other row.
    assert len({first, changed, missing, read_dataset(copy).dataset_id}) == 4


def test_an_image_file_that_changed_or_went_is_noticed(write: Any, tmp_path: Path) -> None:
    """The line names the image and where it is named; an image is never another one than was read."""
    dataset = read_dataset(write({}, {"image": "1.png"}))
    shutil.copy(tmp_path / "0.png", tmp_path / "1.png")
    with pytest.raises(InputError) as changed:
        dataset.image(dataset.pairs[1])
    assert str(changed.value) == (
        f"{tmp_path / '1.png'}, the image of line 2 of {dataset.path}, has changed since it was read; "
        "rerun the command"
    )
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"cannot read image .*1\.png: No such file or directory; check"):
        dataset.image(dataset.pairs[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changed_is_noticed(demo: Dataset, tmp_path: Path, kind: str) -> None:
    """The image of another row is not taken for this one's; a file that is gone is named."""
    records = generic_records(demo)
    dataset = read_dataset(write_generic(tmp_path, kind, records, paths=False))
    if kind != "json":  # which is held in memory
        write_generic(tmp_path, kind, records[1:], paths=False)
        where = f"{dataset.unit} {dataset.pairs[5].line} of .*bench.{kind} has changed since it was read"
        with pytest.raises(InputError, match=where):
            dataset.image_bytes(dataset.pairs[5])
        dataset.path.unlink()
        with pytest.raises(InputError, match=rf"cannot read .*bench\.{kind}: No such file"):
            dataset.image_bytes(dataset.pairs[5])


def test_cells_of_parquet_can_be_read_in_any_order_and_in_threads(
    demo: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row groups of 5 rows, of which 8 rows are kept: each thread gets the cell that it asks for."""
    monkeypatch.setattr("vlmprobe.pairs.tables.parquet._ROWS_KEPT", 8)
    dataset = read_dataset(write_generic(tmp_path, "parquet", generic_records(demo)))
    order = [*dataset.pairs, *reversed(dataset.pairs), *dataset.pairs[::7]] * 8
    with quick_turns(), ThreadPoolExecutor(8) as pool:
        read = [hashlib.sha256(content).hexdigest() for content in pool.map(dataset.image_bytes, order)]
    assert read == [pair.image_sha256 for pair in order]


def test_boxes_and_depths_are_kept_with_the_pair(write: Any) -> None:
    """As they are in the row; a pair without them has none."""
    rows = ({"subject_box": [1, 2, 3, 4.5], "reference_depth": 2}, {})
    first, second = read_dataset(write(*rows)).pairs
    assert (first.subject_box, first.reference_box) == (Box(1, 2, 3, 4.5), None)
    assert (first.subject_depth, first.reference_depth) == (None, 2.0)
    assert (second.subject_box, second.reference_depth) == (None, None)
