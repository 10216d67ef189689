"""The demo's benchmark: rows, files, and what a reader may rely on."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from vlmprobe.demo import BenchmarkFiles, benchmark_rows, build_benchmark, keeps_margin, relation, render
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import DISTANCE, SPACE
from vlmprobe.pairs.readers.embspatial import objects_in_question

if TYPE_CHECKING:
    from pathlib import Path

ROWS = list(benchmark_rows(40))
SMALL = 5


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFiles:
    """Build a benchmark of 30 rows."""
    return build_benchmark(tmp_path_factory.mktemp("demo"), pairs_per_category=SMALL)


def _read_tsv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def test_every_category_has_the_same_number_of_rows_in_turn() -> None:
    """40 rows of each of six categories, left, right, above, below, far, close, left, right ..."""
    assert [str(row.category) for row in ROWS[:7]] == [
        "left",
        "right",
        "above",
        "below",
        "far",
        "close",
        "left",
    ]
    assert Counter(row.category for row in ROWS) == dict.fromkeys(SPACE.categories, 40)
    assert [row.index for row in ROWS] == list(range(240))
    assert ROWS[123].question_id == "demo-000123"


def test_the_category_of_a_row_is_what_its_scene_shows() -> None:
    """Recomputed from the geometry, subject to reference is the row's category, with all margins kept."""
    for row in ROWS:
        assert relation(row.subject, row.reference, row.category.axis) is row.category
        assert {row.subject, row.reference} == set(row.scene.main_pair)
        assert all(keeps_margin(row.subject, row.reference, axis) for axis in SPACE)


@pytest.mark.parametrize(("share", "n_counter"), [(0.5, 20), (0.0, 0), (1.0, 40), (0.1, 4), (0.29, 12)])
def test_the_counter_share_holds_in_every_category(share: float, n_counter: int) -> None:
    """Of 40 rows of a category, 40 * share (rounded) have the farther object lower in the image."""
    counter = Counter(
        row.category for row in benchmark_rows(40, counter_share=share) if row.perspective == "counter"
    )
    assert counter == Counter(dict.fromkeys(SPACE.categories, n_counter))


def test_box_centres_tell_the_same_perspective_as_the_geometry() -> None:
    """The farther object's box centre is higher in consistent rows only, by over 5 % of the height."""
    for row in ROWS:
        far, near = sorted((row.subject, row.reference), key=lambda thing: -thing.depth)
        rise = (near.box[1] + near.box[3] / 2) - (far.box[1] + far.box[3] / 2)
        assert abs(rise) > 0.05 * 140
        assert (rise > 0) == (row.perspective == "consistent")


def test_a_relation_question_names_subject_then_reference() -> None:
    """The names are found back by the reader, in all five phrasings."""
    rows = [row for row in ROWS if row.category.axis is not DISTANCE]
    for row in rows:
        assert objects_in_question(row.question) == (row.subject.name, row.reference.name)
    phrasings = {row.question.replace(row.subject.name, "X").replace(row.reference.name, "Y") for row in rows}
    assert len(phrasings) == 5


def test_the_answer_is_the_letter_of_the_right_option() -> None:
    """Relation rows offer the four relation words; far/close rows the two objects and twice unknown."""
    for row in ROWS:
        right = row.options["ABCD".index(row.answer)]
        if row.category.axis is DISTANCE:
            assert right == row.subject.name
            assert sorted(row.options) == sorted([row.subject.name, row.reference.name, "unknown", "unknown"])
        else:
            assert right == row.category
            assert sorted(row.options) == ["above", "below", "left", "right"]


def test_the_right_option_is_under_every_letter() -> None:
    """No letter has more than 40 % of the answers: the options are shuffled."""
    letters = Counter(row.answer for row in ROWS)
    assert set(letters) == set("ABCD")
    assert max(letters.values()) < 0.4 * len(ROWS)


def test_a_longer_benchmark_starts_with_the_shorter_one() -> None:
    """Row k hangs on the seed and k alone."""
    assert list(benchmark_rows(3)) == ROWS[:18]
    assert list(benchmark_rows(3, seed=1)) != ROWS[:18]


def test_the_tsv_holds_the_rows_and_their_images(files: BenchmarkFiles) -> None:
    """Ten columns, one line per row, and each image decodes to the drawn scene."""
    table = _read_tsv(files.tsv)
    assert files.n_rows == len(table) == 6 * SMALL
    assert list(table[0]) == ["index", "question_id", "category", "question", "image", "answer", *"ABCD"]
    for line, row in zip(table, ROWS, strict=False):
        assert (line["index"], line["question_id"]) == (str(row.index), row.question_id)
        assert (line["category"], line["question"]) == (row.category, row.question)
        assert (line["answer"], *(line[letter] for letter in "ABCD")) == (row.answer, *row.options)
    image = Image.open(io.BytesIO(base64.b64decode(table[7]["image"])))
    np.testing.assert_array_equal(np.asarray(image), render(ROWS[7].scene))


def test_the_boxes_name_every_object_of_every_row(files: BenchmarkFiles) -> None:
    """One record per row, joined by question_id, with names and boxes in pixels."""
    records = json.loads(files.boxes.read_text())
    assert len(records) == files.n_rows
    assert records[7] == {
        "question_id": "demo-000007",
        "objects": {
            "name": [thing.name for thing in ROWS[7].scene.objects],
            "bbox": [list(thing.box) for thing in ROWS[7].scene.objects],
        },
        "relation": "right",
        "data_source": "vlmprobe-demo",
    }


def test_the_datasheet_says_what_the_files_hold(files: BenchmarkFiles) -> None:
    """Count, seed, margins, balance and the call that makes it again."""
    text = files.datasheet.read_text()
    assert "30 questions" in text
    assert "Seed 0." in text
    assert "12 px apart horizontally" in text
    assert "in 18 of 30 rows" in text  # 2.5 of 5 rounds up in each category
    assert "vlmprobe demo benchmark FOLDER --pairs 5 --seed 0 --counter-share 0.5\n" in text
    letters = Counter(row["answer"] for row in _read_tsv(files.tsv))
    assert f"correct answers under A, B, C, D: {', '.join(str(letters[letter]) for letter in 'ABCD')}" in text


def test_the_same_seed_gives_the_same_bytes(files: BenchmarkFiles, tmp_path: Path) -> None:
    """A second build elsewhere, with progress, equals the first; nothing temporary is left beside it."""
    seen: list[tuple[int, int]] = []
    again = build_benchmark(
        tmp_path / "new", pairs_per_category=SMALL, progress=lambda *step: seen.append(step)
    )
    for name in ("tsv", "boxes", "datasheet"):
        assert getattr(files, name).read_bytes() == getattr(again, name).read_bytes()
    assert seen == [(done, 30) for done in range(1, 31)]
    assert sorted(path.name for path in again.tsv.parent.iterdir()) == [
        "DATASHEET.md",
        "benchmark.tsv",
        "boxes.json",
    ]


def test_an_interrupted_build_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """The TSV takes its name only when it is whole."""
    old = tmp_path / "benchmark.tsv"
    old.write_text("old")

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_benchmark(tmp_path, pairs_per_category=1, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark.tsv"]
    assert old.read_text() == "old"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs_per_category": 0}, "pairs per category: 0; use 1 or more"),
        ({"counter_share": 1.5}, "counter share is 1.5; it has to be between 0 and 1"),
        ({"counter_share": float("nan")}, "counter share is nan; it has to be between 0 and 1"),
        ({"seed": -1}, "seed is -1; it has to be 0 or more"),
    ],
)
def test_an_argument_out_of_range_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    """One line says what is wrong; the folder is not even made."""
    with pytest.raises(UsageError, match=re.escape(message)):
        build_benchmark(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way gives one line with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"to .*/file: File exists; choose another folder$"):
        build_benchmark(tmp_path / "file", pairs_per_category=1)
