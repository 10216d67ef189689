"""A benchmark that is read again is the one that was read, unless anything of it has changed."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from vlmprobe.pairs import Benchmarks, link_quads, read_boxes, read_dataset

from ..generic_files import generic_records, write_generic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vlmprobe.pairs import Dataset

    from .conftest import TsvFiles


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count files as old that the test has just written."""
    monkeypatch.setattr("vlmprobe.file_hashes._SETTLED_NS", -(10**18))


def _equal(dataset: Dataset, fresh: Dataset) -> bool:
    return all(getattr(dataset, each.name) == getattr(fresh, each.name) for each in fields(fresh))


@pytest.fixture(params=["tsv", "jsonl", "jsonl with images of its own", "parquet"])
def file(request: pytest.FixtureRequest, benchmark: Callable[..., Path], tmp_path: Path) -> Path:
    """Write the demo's benchmark in several forms."""
    kind, *own = request.param.split(" ", 1)
    return write_generic(tmp_path, kind, generic_records(read_dataset(benchmark(2))), paths=bool(own))


def test_it_is_the_same_and_equals_one_that_is_read_anew(file: Path) -> None:
    """Field by field; other options are another dataset."""
    benchmarks = Benchmarks()
    first = benchmarks.dataset(file)
    assert benchmarks.dataset(file) is first
    assert _equal(first, read_dataset(file))
    assert _equal(benchmarks.dataset(file, max_per_category=1), read_dataset(file, max_per_category=1))
    assert benchmarks.dataset(file) is first


def test_a_changed_file_is_read_again(tsv: TsvFiles) -> None:
    """Another row, then the first content again."""
    benchmarks = Benchmarks()
    first = benchmarks.dataset(tsv.write(tsv.horizontal()))
    again = benchmarks.dataset(tsv.write(tsv.horizontal(), tsv.horizontal()))
    assert _equal(again, read_dataset(tsv.path))
    assert len(again.pairs) == 2
    assert benchmarks.dataset(tsv.write(tsv.horizontal())) is first


def test_a_changed_image_is_another_dataset(tsv: TsvFiles) -> None:
    """Also one that appears, or goes, where a row named a file: the benchmark's own file stays as it is."""
    benchmarks = Benchmarks()
    image = tsv.path.with_name("own.png")
    rows = (tsv.horizontal(), tsv.horizontal(image="own.png", category="right"))
    path = tsv.write(tsv.distance("cup", "book", "pen", "hat"), *rows)
    seen = []
    # The other row's picture is red, so the two contradict each other for as long as this one is.
    for content in (None, tsv.image(colour="blue"), tsv.image(), tsv.image(colour="green"), None):
        image.unlink(missing_ok=True) if content is None else image.write_bytes(content)
        dataset = benchmarks.dataset(path)
        assert _equal(dataset, read_dataset(path))
        assert benchmarks.dataset(path) is dataset
        seen.append((len(dataset.pairs), dataset.dataset_id))
    assert [n for n, _ in seen] == [2, 3, 1, 3, 2]
    assert len({dataset_id for _, dataset_id in seen}) == 4


def test_an_image_that_has_just_changed_is_read_again(tsv: TsvFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could change once more and keep its date."""
    monkeypatch.setattr("vlmprobe.file_hashes._SETTLED_NS", 10**10)
    tsv.path.with_name("own.png").write_bytes(tsv.image())
    path = tsv.write(tsv.horizontal(image="own.png"))
    benchmarks = Benchmarks()
    assert benchmarks.dataset(path) is not benchmarks.dataset(path)


def test_quads_are_linked_once(benchmark: Callable[..., Path]) -> None:
    """With the boxes of one file; without boxes they are others."""
    path = benchmark(2)
    boxes = str(path.with_name("boxes.json"))
    benchmarks = Benchmarks()
    dataset = benchmarks.dataset(path)
    quads = benchmarks.quads(dataset, boxes)
    assert quads == link_quads(dataset, read_boxes(boxes))
    assert benchmarks.quads(dataset, boxes) is quads
    assert benchmarks.quads(dataset, None) == link_quads(dataset)
    other = dataset.under("yes-no")
    assert benchmarks.quads(other, boxes) == link_quads(other, read_boxes(boxes))
