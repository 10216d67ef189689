"""EmbSpatial-Bench's form: objects from questions, and references drawn as the published numbers need it."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmprobe.pairs import HeldImage, read_dataset
from vlmprobe.pairs.axes import CLOSE, FAR
from vlmprobe.pairs.forms import PANDAS_NA, clean_object
from vlmprobe.pairs.readers.embspatial import EmbSpatialReader, objects_in_question
from vlmprobe.pairs.tables import Row


@pytest.mark.parametrize(
    ("question", "objects"),
    [
        ("How are cup and book positioned in relation to each other in the image?", ("cup", "book")),
        (
            "What is the spatial relationship between the tall lamp and The bed in the image?",
            ("tall lamp", "bed"),
        ),
        ("Can you explain how the positions of sink and tap interact in the image?", ("sink", "tap")),
        ("How would you describe the arrangement of box and pen in this picture?", ("box", "pen")),
        ("What are the relative locations of leg of table and mug in the photo?", ("leg of table", "mug")),
        ("HOW ARE a cup AND an ink pot POSITIONED?", ("a cup", "an ink pot")),
        ("How are theatre and  desk\tpositioned?", ("theatre", "desk")),
        ("How are salt and pepper and plate positioned?", ("salt", "pepper and plate")),
        ("How are the and cup positioned?", ("the", "cup")),
        ("Which object is the farthest?", None),
        ("How are . and cup positioned?", None),
        ("", None),
    ],
)
def test_objects_in_question(question: str, objects: tuple[str, str] | None) -> None:
    """Each way of asking gives its two objects in order; a question of another kind gives none."""
    assert objects_in_question(question) == objects


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        (" cup. ", "cup"),
        ("The cup", "cup"),
        ("a cup", "a cup"),
        ("theatre", "theatre"),
        ("the", "the"),
        (".", ""),
    ],
)
def test_clean_object(name: str, clean: str) -> None:
    """The template brings the article and the sentence's end, so a name must not."""
    assert clean_object(name) == clean


def test_horizontal_and_vertical_rows(tsv: Any) -> None:
    """The objects come from the question, whatever the options say; under reads as below."""
    under = {"category": "Under", "question": "What is the arrangement of rug and bed in the image?"}
    dataset = read_dataset(tsv.write(tsv.horizontal(), tsv.horizontal(**under, answer="")))
    read = [(p.category, p.subject, p.reference, p.orig.text, p.swap.expected) for p in dataset.pairs]
    ask = "Answer with only one word."
    assert read == [
        ("left", "cup", "book", f"Is the cup to the left or right of the book? {ask}", "right"),
        ("below", "rug", "bed", f"Is the rug above or below the bed? {ask}", "above"),
    ]


def test_distance_row(tsv: Any) -> None:
    """The target is the option that the answer names, and the reference is one of the others."""
    row = tsv.distance("sofa", "door", "unknown", "Unknown", answer=" b ", category="nearby")
    (pair,) = read_dataset(tsv.write(row)).pairs
    assert (pair.subject, pair.reference, pair.category) == ("door", "sofa", CLOSE)
    assert pair.orig.text == "Compared to sofa, is door far or close from you? Answer with only one word."
    assert pair.orig.expected is CLOSE
    assert pair.swap.expected is FAR


@pytest.mark.parametrize(
    ("changed", "what", "column"),
    [
        ({"category": "behind"}, "category", "category"),
        ({"category": ""}, "category", "category"),
        ({"question": "What is this?"}, "question", "question"),
        ({"question": "How are cup and The Cup positioned?"}, "objects", None),
        ({"category": "far", "answer": "E"}, "answer", "answer"),
        ({"category": "far", "answer": ""}, "answer", "answer"),
        ({"category": "far", "answer": "A", "A": "n/a"}, "option", "A"),
        ({"category": "far", "answer": "A", "A": "UNKNOWN"}, "option", "A"),
        ({"category": "far", "A": "cup", "B": "unknown", "C": "unknown", "D": "unknown"}, "option", None),
        ({"category": "far", "A": "cup", "B": "unknown", "C": "nan", "D": "unknown"}, "option", "C"),
        ({"category": "far", "A": "cup", "B": "", "C": "unknown", "D": "unknown"}, "option", "B"),
    ],
)
def test_a_bad_row_is_a_problem(tsv: Any, changed: dict[str, str], what: str, column: str | None) -> None:
    """Each thing that can be wrong is a problem of that line and column, and the other rows stay."""
    dataset = read_dataset(tsv.write(tsv.horizontal(), tsv.horizontal(**changed)))
    assert [pair.pair_id for pair in dataset.pairs] == ["0"]
    assert [(p.line, p.what, p.column) for p in dataset.problems] == [(3, what, column)]


def test_na_words_are_those_of_pandas(tmp_path: Path) -> None:
    """The list of cells that read as NaN is pandas' own, apart from white space and case."""
    near_misses = ["NAN", " nan", "none", "Null", "#n/a", "unknown", "-"]
    path = tmp_path / "na.tsv"
    pd.DataFrame({"cell": [*sorted(PANDAS_NA), *near_misses], "other": "x"}).to_csv(
        path, sep="\t", index=False
    )
    is_na = pd.read_csv(path, sep="\t")["cell"].isna()
    assert is_na.tolist() == [True] * len(PANDAS_NA) + [False] * len(near_misses)


def _drawn_with_pandas(path: Path) -> list[tuple[str, str] | None]:
    """Target and reference of each row as the reference implementation finds them; None: no pair."""
    rng = random.Random(42)
    found: list[tuple[str, str] | None] = []
    for _, row in pd.read_csv(path, sep="\t").iterrows():
        target = row[row["answer"]]
        others = [row[letter] for letter in "ABCD" if letter != row["answer"]]
        candidates = [option for option in others if str(option).lower() != "unknown"]
        if pd.isna(target) or target.lower() == "unknown" or not candidates:
            found.append(None)
            continue
        reference = rng.choice(candidates)
        found.append(None if pd.isna(reference) else (target, reference))
    return found


names = st.sampled_from(["unknown", "Unknown", "n/a", "nan", "", "None"])
rows = st.tuples(
    st.tuples(*(names | st.just(name) for name in ("cup", "bed", "tv", "rug"))), st.sampled_from("ABCD")
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(rows, min_size=1, max_size=30))
def test_the_draw_is_that_of_pandas_and_one_generator(
    tsv: Any, drawn: list[tuple[tuple[str, ...], str]]
) -> None:
    """NaN takes part in the draw, unknown does not, and a row without a target or candidate draws nothing."""
    # One row of plain words keeps every option's column one of text, also where pandas would see only NaN.
    plain = tsv.distance("cup", "bed", "tv", "rug", answer="D")
    path = tsv.write(plain, *(tsv.distance(*options, answer=answer) for options, answer in drawn))
    # Of the same image, such rows contradict each other.
    dataset = read_dataset(path, max_per_category=0, allow_contradictions=True)
    by_index = {pair.pair_id: (pair.subject, pair.reference) for pair in dataset.pairs}
    assert [by_index.get(str(place)) for place in range(len(drawn) + 1)] == _drawn_with_pandas(path)
    assert len(dataset.problems) == len(drawn) + 1 - len(dataset.pairs)


def test_the_draw_does_not_depend_on_images_or_indices(tsv: Any) -> None:
    """A row whose image or index is bad still draws, so that the rows after it stay the same."""
    options = ("cup", "bed", "tv", "rug")
    good = [tsv.distance(*options) for _ in range(20)]
    bad = [
        row | ({"image": "?"} if place == 3 else {"index": "0"} if place == 5 else {})
        for place, row in enumerate(good)
    ]
    references = {pair.pair_id: pair.reference for pair in read_dataset(tsv.write(*good)).pairs}
    del references["3"], references["5"]
    damaged = read_dataset(tsv.write(*bad))
    assert {pair.pair_id: pair.reference for pair in damaged.pairs} == references


def _draw(reader: EmbSpatialReader, times: int) -> list[str | None]:
    options = dict(zip("ABCD", ("cup", "bed", "tv", "rug"), strict=True))
    cells = {**options, "category": "far", "answer": "A", "image": "?"}
    row = Row(2, 1, cells, Path(), lambda _: HeldImage(b""))
    return [draft.reference for _ in range(times) for draft in reader.drafts(row)]


def test_the_seed_decides_the_draw() -> None:
    """Another seed draws other references."""
    drawn = []
    for seed in (42, 42, 43):
        reader = EmbSpatialReader(seed)
        drawn.append(_draw(reader, 20))
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) == {"bed", "tv", "rug"}


def test_the_published_seed_draws_these() -> None:
    """What random.Random(42) draws from three candidates, to notice if Python's choice changes."""
    reader = EmbSpatialReader(42)
    assert _draw(reader, 6) == ["rug", "bed", "bed", "rug", "tv", "bed"]


def test_a_long_image_cell_is_no_obstacle(tsv: Any) -> None:
    """An image is longer than the csv module's limit for a field, and one reader does not undo the other."""
    csv.field_size_limit(131072)
    padded = tsv.png + "\n" * 200_000
    (pair,) = read_dataset(tsv.write(tsv.horizontal(image=padded))).pairs
    assert (pair.image_width, pair.image_height) == (8, 6)
