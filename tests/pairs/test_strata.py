"""A column of the benchmark's file sorts its images into strata."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import InputError
from vlmprobe.pairs import link_quads, read_dataset
from vlmprobe.pairs.strata import Strata, read_strata

from ..generic_files import KINDS, generic_records, write_generic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.pairs import Dataset

PLACES = ("indoor", "outdoor", "street")


@pytest.fixture(scope="module")
def demo(benchmark: Callable[..., Path]) -> Dataset:
    """Read the demo's TSV of 24 pairs, each about an image of its own."""
    return read_dataset(benchmark(4))


@pytest.fixture
def write(demo: Dataset, tmp_path: Path) -> Callable[..., Dataset]:
    """Write the first pairs with cells of their own, and read them as a benchmark."""

    def run(*cells: dict[str, Any], kind: str = "jsonl") -> Dataset:
        records = generic_records(demo)[: len(cells)]
        for record in records:
            record["index"] = f"p{record['index']}"
        return read_dataset(
            write_generic(tmp_path, kind, [{**a, **b} for a, b in zip(records, cells, strict=True)])
        )

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_is_matched_to_images_by_line(write: Callable[..., Dataset], kind: str) -> None:
    """Also behind a row that gives no pair and one of several lines, and of rows that are not sampled."""
    cells: list[dict[str, Any]] = [{"place": PLACES[i % 3], "note": "one\ntwo"} for i in range(9)]
    cells[4]["category"] = "nowhere"
    dataset = write(*cells, kind=kind)
    strata = read_strata(dataclasses.replace(dataset, pairs=dataset.pairs[:1]), "place")
    assert (strata.n_strata, len(strata.of_image)) == (3, 8)
    expected = [PLACES[i % 3] for i in range(9) if i != 4]
    assert strata.of([pair.image_sha256 for pair in dataset.made]) == expected


def test_pairs_of_quads_have_the_stratum_of_their_image(
    demo: Dataset, benchmark: Callable[..., Path], tmp_path: Path
) -> None:
    """They have no row of their own."""
    records = generic_records(demo, benchmark(4).with_name("boxes.json"))
    data = write_generic(
        tmp_path, "jsonl", [{**each, "place": f"room {n}"} for n, each in enumerate(records)]
    )
    dataset = read_dataset(data)
    strata = read_strata(dataset, "place")
    place_of = {pair.pair_id: f"room {n}" for n, pair in enumerate(dataset.made)}
    vertical = [pair for pair in link_quads(dataset).pairs if pair.pair_id.endswith("/v")]
    assert vertical
    assert strata.of([pair.image_sha256 for pair in vertical]) == [
        place_of[pair.pair_id.removesuffix("/v")] for pair in vertical
    ]


def test_empty_cells_are_a_stratum_of_their_own(write: Callable[..., Dataset]) -> None:
    """Blank, null, not there, and what pandas makes of one of these; a key that the first record lacks is a column."""
    dataset = write({}, {"place": " "}, {"place": None}, {"place": float("nan")}, {"place": " hall "})
    strata = read_strata(dataset, "place")
    assert strata.of([pair.image_sha256 for pair in dataset.made]) == ["", "", "", "", "hall"]
    assert (strata.n_strata, strata.n_empty) == (2, 4)


def test_numbers_and_truth_values_name_strata(write: Callable[..., Dataset]) -> None:
    """As JSON writes them; a whole number is the same with a decimal point."""
    dataset = write({"place": 3}, {"place": 3.0}, {"place": True}, {"place": False})
    strata = read_strata(dataset, "place")
    assert strata.of([pair.image_sha256 for pair in dataset.made]) == ["3", "3", "true", "false"]


def test_a_column_that_is_not_there_is_refused(write: Callable[..., Dataset]) -> None:
    """The message lists those that are."""
    dataset = write({"place": "indoor"}, kind="csv")
    with pytest.raises(InputError) as refused:
        read_strata(dataset, "plaice")
    listed = "index, question_id, subject, reference, category, image, place"
    assert str(refused.value) == f"{dataset.path} has no column 'plaice'; it has {listed}"


def test_a_column_that_differs_within_an_image_is_refused(write: Callable[..., Dataset]) -> None:
    """A stratum is a property of images: the message names both lines, also where neither is sampled."""
    dataset = write({"place": "indoor"}, {"place": "indoor"}, {"place": "outdoor"})
    (first, *others) = dataset.made
    made = (first, *(dataclasses.replace(pair, image_sha256=first.image_sha256) for pair in others))
    with pytest.raises(
        InputError,
        match=r"bench.jsonl: 'place' differs within an image: 'indoor' on line 1, 'outdoor' on line 3; use",
    ):
        read_strata(dataclasses.replace(dataset, made=made, pairs=()), "place")


@pytest.mark.parametrize(
    ("cell", "why"),
    [(0.5, "a number, not text"), (["a"], "a list, not text"), ("x" * 1001, "1001 characters, more than")],
)
def test_a_cell_that_names_no_stratum_is_refused(
    write: Callable[..., Dataset], cell: object, why: str
) -> None:
    """A measurement, a list, an image as base64."""
    dataset = write({"place": "indoor"}, {"place": cell})
    with pytest.raises(InputError, match=f"line 2, column 'place': {why}"):
        read_strata(dataset, "place")


def test_a_file_that_lost_its_rows_is_refused(write: Callable[..., Dataset]) -> None:
    """It was checked when it was read, a moment ago."""
    dataset = write({"place": "indoor"}, {"place": "outdoor"})
    dataset.path.write_text(json.dumps({"place": "indoor"}) + "\n")
    with pytest.raises(InputError, match="has changed since it was read"):
        read_strata(dataset, "place")


def test_an_image_of_no_row_is_refused() -> None:
    """Refutes: it silently joins the images whose cell is empty."""
    with pytest.raises(InputError, match="no row of the benchmark's file has image ffffffffffff, so"):
        Strata("place", {"0" * 64: "indoor"}).of(["0" * 64, "f" * 64])


def test_the_facts_change_with_column_and_values() -> None:
    """Numbers are kept with them; the order of the rows is none of them."""
    two = {"a": "indoor", "b": "outdoor"}
    kept = Strata("place", two).facts
    assert kept == Strata("place", dict(reversed(two.items()))).facts
    assert kept != Strata("site", two).facts
    assert kept != Strata("place", {**two, "b": "indoor"}).facts
