"""Linking a distance pair to a vertical pair about the same two objects."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmprobe.demo import benchmark_rows, build_benchmark
from vlmprobe.pairs import (
    OUTCOMES,
    Box,
    Boxes,
    QuadLink,
    QuadSet,
    Question,
    RowProblem,
    link_quads,
    read_boxes,
    read_dataset,
)
from vlmprobe.pairs.axes import ABOVE, BELOW, DISTANCE

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.pairs import Dataset

HEIGHT = 100
HIGH, LOW = Box(10, 0, 20, 20), Box(40, 60, 20, 20)  # centres at y = 10 and 70


def _boxes(**questions: dict[str, Box | tuple[Box, ...]]) -> Boxes:
    by_question = {
        question: {name: box if isinstance(box, tuple) else (box,) for name, box in objects.items()}
        for question, objects in questions.items()
    }
    return Boxes(by_question, (), len(by_question))


@pytest.fixture
def rows(tsv: Any) -> Any:
    """Make distance rows with images of 120 x 100 pixels whose subject is cup and reference book."""
    image = base64.b64encode(tsv.image(120, HEIGHT)).decode()

    def make(
        question_id: str = "q", category: str = "far", subject: str = "cup", **cells: str
    ) -> dict[str, str]:
        row = tsv.distance(subject, "book", "unknown", "unknown", category=category)
        return {**row, "image": image, "question_id": question_id, **cells}

    return make


def test_a_quad_asks_about_the_same_objects_whether_one_is_above(tsv: Any, rows: Any) -> None:
    """The vertical pair shares the distance pair's row, image and objects; only its question is another."""
    dataset = read_dataset(tsv.write(rows(index="7")))
    quads = link_quads(dataset, _boxes(q={"cup": HIGH, "book": LOW}))
    (distance,) = dataset.pairs
    vertical = replace(
        distance,
        pair_id="7/v",
        category=ABOVE,
        orig=Question("Is the cup above or below the book? Answer with only one word.", ABOVE, BELOW),
        swap=Question("Is the book above or below the cup? Answer with only one word.", BELOW, ABOVE),
        origin="quad",
    )
    assert quads == QuadSet(
        links=(QuadLink("7", "7/v"),),
        pairs=(vertical,),
        perspectives={"7": "consistent"},
        counts={"matched": 1, "ambiguous": 0, "no_box": 0, "no_objects": 0},
        problems=(),
    )
    assert dataset.image_bytes(vertical) == dataset.image_bytes(distance)


@pytest.mark.parametrize(
    ("category", "cup", "book", "vertical", "perspective"),
    [
        ("far", HIGH, LOW, "above", "consistent"),
        ("far", LOW, HIGH, "below", "counter"),
        ("close", LOW, HIGH, "below", "consistent"),
        ("close", HIGH, LOW, "above", "counter"),
    ],
)
def test_perspective_is_consistent_when_the_farther_object_is_higher(
    tsv: Any, rows: Any, category: str, cup: Box, book: Box, vertical: str, perspective: str
) -> None:
    """The subject of a far pair is the farther object, that of a close pair the nearer one."""
    dataset = read_dataset(tsv.write(rows(category=category, subject="cup")))
    quads = link_quads(dataset, _boxes(q={"cup": cup, "book": book}))
    assert [pair.category for pair in quads.pairs] == [vertical]
    assert quads.perspectives == {"0": perspective}


@pytest.mark.parametrize(
    ("height", "lower_by", "outcome"),
    [
        (100, 4.75, "ambiguous"),
        (100, 5, "matched"),
        (140, 6.75, "ambiguous"),
        (140, 7, "matched"),
        (140, -7, "matched"),
        (6, 0, "ambiguous"),
    ],
)
def test_centres_less_than_five_percent_of_the_height_apart_are_ambiguous(
    tsv: Any, rows: Any, height: int, lower_by: float, outcome: str
) -> None:
    """The height is the decoded image's; exactly 5 % of it is a quad; an ambiguous pair gets no partner."""
    image = base64.b64encode(tsv.image(120, height)).decode()
    dataset = read_dataset(tsv.write(rows(image=image)))
    quads = link_quads(dataset, _boxes(q={"cup": Box(0, 2, 8, 2), "book": Box(0, 2 + lower_by, 8, 2)}))
    assert quads.counts[outcome] == 1
    assert (len(quads.links), len(quads.pairs)) == ((1, 1) if outcome == "matched" else (0, 0))
    assert (quads.perspectives["0"] == "ambiguous") == (outcome == "ambiguous")


def test_the_height_is_the_centres_not_the_upper_edges(tsv: Any, rows: Any) -> None:
    """A tall box that begins higher can have the lower centre."""
    quads = link_quads(
        read_dataset(tsv.write(rows())), _boxes(q={"cup": Box(0, 10, 5, 80), "book": Box(0, 30, 5, 5)})
    )
    assert [pair.category for pair in quads.pairs] == ["below"]


def test_both_objects_need_exactly_one_box(tsv: Any, rows: Any) -> None:
    """An unknown question, an unknown object, two boxes of one name, a row without id: all say why."""
    dataset = read_dataset(
        tsv.write(rows("q1"), rows("q2"), rows("q3"), rows(""), rows("q5"), tsv.horizontal(question_id="q5"))
    )
    quads = link_quads(
        dataset,
        _boxes(
            q2={"cup": HIGH, "lamp": LOW},
            q3={"cup": (HIGH, LOW), "book": LOW},
            q5={"cup": HIGH, "book": LOW},
        ),
    )
    assert quads.counts == {"matched": 1, "ambiguous": 0, "no_box": 4, "no_objects": 0}
    assert quads.perspectives == {"4": "consistent"}
    assert quads.problems == (
        RowProblem(2, "no_box", "no box is named 'cup' for question_id 'q1'"),
        RowProblem(3, "no_box", "no box is named 'book' for question_id 'q2'"),
        RowProblem(4, "no_box", "2 different boxes are named 'cup' for question_id 'q3'"),
        RowProblem(5, "no_box", "the row has no question_id", "question_id"),
    )


def test_objects_match_however_their_names_are_written(tsv: Any, rows: Any) -> None:
    """The question keeps the TSV's spelling."""
    dataset = read_dataset(tsv.write(rows(A="The  Red cup.", B="BOOK")))
    quads = link_quads(dataset, _boxes(q={"red cup": HIGH, "book": LOW}))
    assert [pair.orig.text for pair in quads.pairs] == [
        "Is the Red cup above or below the BOOK? Answer with only one word."
    ]


def test_questions_that_are_written_out_name_no_objects(tsv: Any) -> None:
    """The ready-made form gives no quads, and the count says so; its other axes are not counted."""
    far = {"category": "far", "group": "distance", "original_answer": "far", "swapped_answer": "close"}
    far |= {"original_question": "Is the cup far?", "swapped_question": "Is the book far?"}
    dataset = read_dataset(tsv.write(tsv.ready_made(), tsv.ready_made(**far, question_id="q")))
    quads = link_quads(dataset, _boxes(q={"cup": HIGH, "book": LOW}))
    assert (quads.links, quads.pairs, quads.perspectives) == ((), (), {})
    assert quads.counts == {"matched": 0, "ambiguous": 0, "no_box": 0, "no_objects": 1}
    assert [(problem.line, problem.what) for problem in quads.problems] == [(3, "no_objects")]


def test_a_box_outside_its_image_is_mentioned_and_used(tsv: Any, rows: Any) -> None:
    """Boxes of the image at another size still tell above from below, but a user wants to know."""
    quads = link_quads(
        read_dataset(tsv.write(rows())), _boxes(q={"cup": HIGH, "book": Box(300, 400, 20, 20)})
    )
    assert quads.counts["matched"] == 1
    why = "the center of 'book', (310, 410), is outside the 120 x 100 image; boxes must be in image pixels"
    assert quads.problems == (RowProblem(2, "box", why),)


def test_distance_pairs_outside_the_sample_come_with_their_quads(tsv: Any, rows: Any) -> None:
    """Per quad, in file order: the distance pair where it is not asked anyway, then its vertical partner."""
    path = tsv.write(*(rows(f"q{place}") for place in range(4)))
    dataset = read_dataset(path, max_per_category=2)
    asked = [pair.pair_id for pair in dataset.pairs]
    quads = link_quads(dataset, _boxes(**{f"q{place}": {"cup": HIGH, "book": LOW} for place in range(4)}))
    expected: list[str] = []
    for index in ("0", "1", "2", "3"):
        expected += [f"{index}/v"] if index in asked else [index, f"{index}/v"]
    assert len(expected) == 6
    assert [pair.pair_id for pair in quads.pairs] == expected
    assert [link.distance_pair_id for link in quads.links] == ["0", "1", "2", "3"]
    assert {pair.origin for pair in quads.pairs} == {"quad"}
    assert quads.perspectives == dict.fromkeys("0123", "consistent")
    for extra in quads.pairs:
        if extra.axis is DISTANCE:
            assert extra.perspective == "consistent"
            assert replace(extra, origin="row", perspective=None) in dataset.made


def test_a_dataset_keeps_the_pairs_that_were_not_sampled(tsv: Any, rows: Any) -> None:
    """All pairs of the file, in file order; the sampled ones are the same objects, not copies."""
    dataset = read_dataset(tsv.write(*(rows() for _ in range(5)), tsv.horizontal()), max_per_category=2)
    assert [pair.pair_id for pair in dataset.made] == ["0", "1", "2", "3", "4", "5"]
    assert len(dataset.made) == sum(dataset.n_made.values())
    made = {id(pair) for pair in dataset.made}
    assert len(dataset.pairs) == 3
    assert all(id(pair) in made for pair in dataset.pairs)


@pytest.fixture
def one_row(tsv: Any, rows: Any) -> dict[str, Dataset]:
    """Read a far and a close row; the examples only look at them."""
    return {category: read_dataset(tsv.write(rows(category=category))) for category in ("far", "close")}


boxes_in_image = st.builds(
    Box, st.integers(0, 120), st.integers(0, HEIGHT), st.integers(0, 60), st.integers(0, 60)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(category=st.sampled_from(["far", "close"]), cup=boxes_in_image, book=boxes_in_image)
def test_a_quad_turned_upside_down_is_its_opposite(
    one_row: dict[str, Dataset], category: str, cup: Box, book: Box
) -> None:
    """Exchanging the boxes exchanges above and below, consistent and counter, and leaves ambiguous alone."""
    quads = link_quads(one_row[category], _boxes(q={"cup": cup, "book": book}))
    turned = link_quads(one_row[category], _boxes(q={"cup": book, "book": cup}))
    opposite = {"consistent": "counter", "counter": "consistent", "ambiguous": "ambiguous"}
    assert turned.perspectives["0"] == opposite[quads.perspectives["0"]]
    assert [pair.category for pair in turned.pairs] == [pair.category.opposite for pair in quads.pairs]
    assert quads.counts == turned.counts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(category=st.sampled_from(["far", "close"]), cup=boxes_in_image, book=boxes_in_image)
def test_perspective_follows_from_the_two_categories(
    one_row: dict[str, Dataset], category: str, cup: Box, book: Box
) -> None:
    """Consistent are far with above and close with below; every pair has one outcome."""
    quads = link_quads(one_row[category], _boxes(q={"cup": cup, "book": book}))
    assert sum(quads.counts.values()) == 1
    for pair in quads.pairs:
        agree = {(ABOVE, "far"), (BELOW, "close")}
        assert (quads.perspectives["0"] == "consistent") == ((pair.category, category) in agree)


def test_the_demo_gives_quads_whose_perspective_is_that_of_its_scenes(tmp_path: Path) -> None:
    """Of 80 distance rows at least 60 give a quad, and the geometry that drew them agrees with every one."""
    files = build_benchmark(tmp_path, pairs_per_category=40)
    boxes = read_boxes(files.boxes)
    quads = link_quads(read_dataset(files.tsv, max_per_category=10), boxes)
    assert boxes.problems == quads.problems == ()
    assert len(quads.links) == quads.counts["matched"] >= 60
    assert tuple(quads.counts) == OUTCOMES
    assert sum(quads.counts.values()) == 80
    truth = {str(row.index): row.perspective for row in benchmark_rows(40)}
    assert {link.distance_pair_id: truth[link.distance_pair_id] for link in quads.links} == {
        pair_id: perspective
        for pair_id, perspective in quads.perspectives.items()
        if perspective != "ambiguous"
    }


def test_the_demos_boxes_read_the_same_from_a_list_of_objects(tmp_path: Path) -> None:
    """The quads do not depend on which layout of the two the boxes came in."""
    files = build_benchmark(tmp_path, pairs_per_category=2)
    dataset = read_dataset(files.tsv)
    rows = json.loads(files.boxes.read_text())
    for row in rows:
        names, boxes = row["objects"]["name"], row["objects"]["bbox"]
        row["objects"] = [{"name": name, "bbox": box} for name, box in zip(names, boxes, strict=True)]
    (tmp_path / "members.json").write_text(json.dumps(rows))
    first, second = (
        link_quads(dataset, read_boxes(path)) for path in (files.boxes, tmp_path / "members.json")
    )
    assert first == second
