"""The same benchmark as a TSV with boxes and in the generic form: the same numbers, to the bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.pairs import read_dataset

from ..generic_files import generic_records, write_generic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUADS = """
    SELECT distance_pair_id, vertical_pair_id, perspective
    FROM quads JOIN swap_pairs ON pair_id = distance_pair_id ORDER BY ALL
"""


@pytest.fixture(scope="module")
def extract(inside: Any, mlflow_store: dict[str, str]) -> Callable[..., Any]:
    """Extract scale 2m in batches of 8."""

    def run(home: Path, data: Path, *options: object) -> Any:
        command = ("extract", "tiny", "--scale", "2m", "--batch-size", 8, "--home", home, "--data", data)
        return inside(*command, *options, **mlflow_store)

    return run


@pytest.fixture(scope="module")
def from_tsv(
    extract: Callable[..., Any], benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the home of a run on 12 pairs, with quads, from the TSV and its file of boxes."""
    home, data = tmp_path_factory.mktemp("tsv"), benchmark(2)
    extract(home, data, "--boxes", data.with_name("boxes.json")).ok()
    return home


@pytest.mark.parametrize("kind", ["jsonl", pytest.param("parquet", marks=pytest.mark.full)])
def test_states_answers_and_quads_are_those_of_the_tsv(
    kind: str,
    from_tsv: Path,
    extract: Callable[..., Any],
    benchmark: Callable[..., Path],
    left: Callable[..., Any],
    rows: Any,
    tmp_path: Path,
) -> None:
    """JSONL names image files, parquet holds {bytes, path}; boxes are in the rows; a finished run is reused."""
    data = benchmark(2)
    records = generic_records(read_dataset(data), data.with_name("boxes.json"))
    path, home = write_generic(tmp_path / "data", kind, records), tmp_path / "home"
    ran = extract(home, path).ok()
    assert "bench: 12 pairs from 12 rows (generic form)" in ran.err
    assert "boxes: 4 matched, 0 ambiguous, 0 no_box, 0 no_objects" in ran.err
    expected, found = left(from_tsv), left(home)
    assert len(found.answers) == 2 * (12 + 4)
    assert (found.answers, found.states) == (expected.answers, expected.states)
    assert rows(home, QUADS) == rows(from_tsv, QUADS) != []
    assert "complete already, all 16 pairs reused" in extract(home, path).ok().err


def test_data_check_shows_a_row_whose_image_is_missing(
    benchmark: Callable[..., Path], inside: Any, tmp_path: Path
) -> None:
    """The line is that of the JSONL; what is missing is the image's file."""
    data = write_generic(tmp_path, "jsonl", generic_records(read_dataset(benchmark(2)))[:2])
    (tmp_path / "images" / "1.png").unlink()
    checked = inside("data", "check", data, "--json")
    assert checked.code == 1
    (problem,) = json.loads(checked.out)
    assert (problem["line"], problem["column"], problem["what"]) == (2, "image", "image")
    assert f"cannot read image {tmp_path / 'images' / '1.png'}: No such file or directory" in problem["why"]
