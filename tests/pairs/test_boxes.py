"""Reading boxes: what a row may look like, what is a problem, and what is an error."""

from __future__ import annotations

import builtins
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmprobe.errors import InputError, MissingPackageError
from vlmprobe.pairs import Box, BoxProblem, normalize_name, read_boxes

if TYPE_CHECKING:
    from pathlib import Path

CUP, BOOK = [10, 20, 30, 40], [50, 60, 8, 6]
COLUMNS = {"name": ["cup", "book"], "bbox": [CUP, BOOK]}
MEMBERS = [{"name": "cup", "bbox": CUP}, {"name": "book", "bbox": BOOK}]
ROW = {"question_id": "q1", "objects": COLUMNS, "relation": "far", "data_source": "scannet"}
READ = {"q1": {"cup": (Box(10.0, 20.0, 30.0, 40.0),), "book": (Box(50.0, 60.0, 8.0, 6.0),)}}


def _write(folder: Path, *rows: object) -> Path:
    path = folder / "boxes.json"
    path.write_text(json.dumps(list(rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize("objects", [COLUMNS, MEMBERS, json.dumps(COLUMNS), json.dumps(MEMBERS)])
@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_objects_may_be_columns_or_members_or_either_as_text(
    tmp_path: Path, ending: str, objects: object
) -> None:
    """The same boxes come out of a JSON list and of a parquet file, whatever the layout of objects."""
    path = tmp_path / f"boxes.{ending}"
    row = ROW | {"objects": objects, "image": "not read"}
    if ending == "json":
        path.write_text(json.dumps([row]), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    boxes = read_boxes(path)
    assert (boxes.by_question, boxes.problems, boxes.n_rows) == (READ, (), 1)


def test_a_file_is_known_by_its_content_not_its_ending(tmp_path: Path) -> None:
    """A parquet file without an ending is parquet; JSON may begin with a byte order mark."""
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "boxes")
    assert read_boxes(tmp_path / "boxes").by_question == READ
    (tmp_path / "boxes.txt").write_bytes(b"\xef\xbb\xbf" + json.dumps([ROW]).encode())
    assert read_boxes(tmp_path / "boxes.txt").by_question == READ


def test_the_centre_is_in_pixels_from_the_upper_left() -> None:
    """Half the width and half the height from the corner."""
    assert Box(10, 20, 30, 41).center == (25.0, 40.5)


def test_objects_are_found_by_question_and_name_however_written(tmp_path: Path) -> None:
    """Case, white space, a leading "the" and a final stop do not matter; an unknown object has no box."""
    objects = {"name": [" The  Coffee table. "], "bbox": [CUP]}
    boxes = read_boxes(_write(tmp_path, {"question_id": "q1", "objects": objects}))
    assert boxes.find("q1", "coffee TABLE") == (Box(10, 20, 30, 40),)
    assert boxes.find("q1", "the coffee\ttable") == (Box(10, 20, 30, 40),)
    assert boxes.find("q1", "table") == boxes.find("q2", "coffee table") == boxes.find(None, "cup") == ()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Cup", "cup"),
        ("the cup", "cup"),
        ("THE  red\n cup .", "red cup"),
        ("a cup", "a cup"),
        ("theatre", "theatre"),
    ],
)
def test_names_are_compared_without_what_carries_no_meaning(written: str, name: str) -> None:
    """Other articles stay, as they do in the questions."""
    assert normalize_name(written) == name


@given(st.text(alphabet="theTHE .\t\nacup", max_size=20))
def test_a_normalised_name_stays_as_it_is(name: str) -> None:
    """Normalising twice is normalising once."""
    assert normalize_name(normalize_name(name)) == normalize_name(name)


@pytest.mark.parametrize("value", [7, 7.0, "7", " 7 "])
def test_a_question_id_is_text_wherever_it_was_a_number(tmp_path: Path, value: object) -> None:
    """The TSV holds text, so a number of a JSON or parquet file becomes the same text."""
    assert list(read_boxes(_write(tmp_path, ROW | {"question_id": value})).by_question) == ["7"]


def test_rows_of_one_question_add_up(tmp_path: Path) -> None:
    """Its objects are united; the same box twice is one box, another box of the same name makes it ambiguous."""
    other = [11, 20, 30, 40]
    boxes = read_boxes(
        _write(
            tmp_path,
            {"question_id": "q1", "objects": [{"name": "cup", "bbox": CUP}, {"name": "Cup", "bbox": CUP}]},
            {
                "question_id": "q1",
                "objects": [{"name": "the cup", "bbox": CUP}, {"name": "book", "bbox": BOOK}],
            },
            {"question_id": "q2", "objects": [{"name": "cup", "bbox": CUP}, {"name": "cup", "bbox": other}]},
        )
    )
    assert boxes.by_question == READ | {"q2": {"cup": (Box(10, 20, 30, 40), Box(11, 20, 30, 40))}}


def test_every_bad_row_is_recorded_with_its_number_and_reason(tmp_path: Path) -> None:
    """A bad row gives no box at all, and the rows around it are read."""

    def with_box(*bbox: object) -> dict[str, Any]:
        return {
            "question_id": "q2",
            "objects": [{"name": "lamp", "bbox": CUP}, {"name": "cup", "bbox": bbox}],
        }

    rows = [
        ROW,
        "text",
        {"objects": COLUMNS},
        {"question_id": True, "objects": COLUMNS},
        {"question_id": "  ", "objects": COLUMNS},
        {"question_id": "q2"},
        {"question_id": "q2", "objects": "{not json"},
        {"question_id": "q2", "objects": 3},
        {"question_id": "q2", "objects": {"name": ["cup"]}},
        {"question_id": "q2", "objects": {"name": ["cup"], "bbox": [CUP, BOOK]}},
        {"question_id": "q2", "objects": [CUP]},
        {"question_id": "q2", "objects": []},
        {"question_id": "q2", "objects": {"name": [None], "bbox": [CUP]}},
        {"question_id": "q2", "objects": {"name": [" ."], "bbox": [CUP]}},
        with_box(1, 2, 3),
        with_box(1, 2, 3, "4"),
        with_box(1, 2, 3, True),
        with_box(1, float("nan"), 3, 4),
        with_box(float("inf"), 2, 3, 4),
        with_box(1, 2, 10**400, 4),
        with_box(1, 2, 3, -4),
    ]
    boxes = read_boxes(_write(tmp_path, *rows, ROW))
    assert (boxes.by_question, boxes.n_rows) == (READ, 22)
    assert [(problem.row, problem.what) for problem in boxes.problems] == [
        (2, "row"),
        (3, "question_id"),
        (4, "question_id"),
        (5, "question_id"),
        (6, "objects"),
        (7, "objects"),
        (8, "objects"),
        (9, "objects"),
        (10, "objects"),
        (11, "objects"),
        (12, "objects"),
        (13, "name"),
        (14, "name"),
        (15, "bbox"),
        (16, "bbox"),
        (17, "bbox"),
        (18, "bbox"),
        (19, "bbox"),
        (20, "bbox"),
        (21, "bbox"),
    ]
    assert boxes.problems[8] == BoxProblem(10, "objects", "1 names and 2 boxes")
    assert boxes.problems[-1] == BoxProblem(21, "bbox", "height is -4, but must not be negative")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "bbox", "x"]), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(question_id=JSON_VALUES, objects=JSON_VALUES)
def test_no_row_is_lost_or_fatal(
    tmp_path_factory: pytest.TempPathFactory, question_id: object, objects: object
) -> None:
    """Whatever JSON a row holds, it gives boxes or a problem of one line."""
    folder = tmp_path_factory.getbasetemp()
    boxes = read_boxes(_write(folder, ROW, {"question_id": question_id, "objects": objects}))
    assert boxes.n_rows == 2
    assert len(boxes.by_question) + len(boxes.problems) == 2
    assert all("\n" not in problem.why and len(problem.why) < 150 for problem in boxes.problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"neither JSON nor parquet"),
        (b"index\tcategory\n", r"neither JSON nor parquet"),
        (b"\xff\xfe\x00", r"neither JSON nor parquet"),
        (b"[" * 100_000, r"neither JSON nor parquet"),
        (b"PAR1 and nothing more", r"damaged or unreadable parquet"),
        (b'{"question_id": "q1"}', r"is not a list; save a list of rows with question_id and objects"),
        (b"[]", r"has no rows"),
        (
            b'[{"id": 1}, 2]',
            r"none of its 2 rows gives boxes; correct the file, starting with row 1: question_id: missing",
        ),
    ],
)
def test_a_file_without_boxes_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    """One line that says what is wrong with which file."""
    path = tmp_path / "boxes.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_boxes(path)
    assert "boxes.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    """The error lists the columns that the file has."""
    path = tmp_path / "boxes.parquet"
    pq.write_table(pa.table({"question_id": [1], "image": ["x"]}), path)
    with pytest.raises(InputError, match=r"no column objects \(it has question_id, image\)"):
        read_boxes(path)


@pytest.mark.parametrize("name", ["none.json", "none", "deep/er/none"])
def test_a_missing_file_is_an_error(tmp_path: Path, name: str) -> None:
    """It names the path."""
    with pytest.raises(InputError, match=r"cannot read .*none.*: No such file or directory; check the path"):
        read_boxes(tmp_path / name)


def test_a_hub_id_without_the_package_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of two parts that is no path may be a dataset of the hub, which needs a package of its own."""
    real = builtins.__import__

    def without_datasets(name: str, *rest: Any, **options: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_datasets)
    with pytest.raises(
        MissingPackageError, match=r"no file 'FlagEval/Emb'; the hub dataset of that name .* pip install"
    ):
        read_boxes("FlagEval/Emb")
    with pytest.raises(InputError, match=r"cannot read FlagEval/boxes\.json"):
        read_boxes("FlagEval/boxes.json")


def test_a_folder_in_the_hubs_layout_is_read_with_all_its_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hub id does, without a network."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "bench" / "data"
    data.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([ROW | {"image": "a"}]), data / "test-00000-of-00001.parquet")
    other = ROW | {"question_id": "q2", "image": "b"}
    pq.write_table(pa.Table.from_pylist([other]), data / "train-00000-of-00001.parquet")
    boxes = read_boxes(tmp_path / "bench")
    assert boxes.by_question == {"q1": READ["q1"], "q2": READ["q1"]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"folder .*empty cannot be loaded \("):
        read_boxes(tmp_path / "empty")
