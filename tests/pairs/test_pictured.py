"""What two objects are to each other on the axis that Null 1 asks about, and whether an exchange turns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.demo import build_benchmark
from vlmprobe.pairs import pictured_relations, read_boxes, read_dataset, write_mirrored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("own_axis", [True, False])
def test_an_exchange_on_the_own_axis_turns_no_other_relation(tmp_path: Path, own_axis: bool) -> None:
    """A whole exchange turns all of them. The demo's margins are above 5 % of its pictures' sides."""
    files = build_benchmark(tmp_path, pairs_per_category=2, image_swaps=True, swap_own_axis=own_axis)
    assert files.swaps is not None
    assert files.swap_boxes is not None
    dataset, exchanged = read_dataset(files.tsv), read_dataset(files.swaps)
    before = pictured_relations(dataset, read_boxes(str(files.boxes)))
    after = pictured_relations(exchanged, read_boxes(str(files.swap_boxes)))
    asked = {
        pair.pair_id: "vertical" if pair.axis == "horizontal" else "horizontal" for pair in dataset.pairs
    }
    assert {name: str(category.axis) for name, category in before.items()} == asked
    assert set(after) == set(before)
    assert {name for name in before if after[name] != before[name]} == (set() if own_axis else set(before))


def test_a_mirror_turns_no_above_and_below(tmp_path: Path) -> None:
    """Boxes are mirrored with their pictures, so what a left/right pair's objects are in height is known in both."""
    files = build_benchmark(tmp_path, pairs_per_category=2)
    boxes = read_boxes(str(files.boxes))
    dataset = read_dataset(files.tsv)
    mirrored = read_dataset(write_mirrored(dataset, tmp_path / "mirrored.jsonl", boxes=boxes).path)
    before, after = pictured_relations(dataset, boxes), pictured_relations(mirrored)
    assert len(after) == 4
    assert {name: before[name] for name in after} == after


def test_without_boxes_nothing_is_known(tmp_path: Path) -> None:
    """A row's own relation says nothing of the other axis."""
    files = build_benchmark(tmp_path, pairs_per_category=1)
    assert pictured_relations(read_dataset(files.tsv)) == {}


def test_of_the_pairs_own_axis_every_relation_is_turned(tmp_path: Path) -> None:
    """By which boxes of another picture are recognized; of far and close boxes alone say nothing."""
    files = build_benchmark(tmp_path, pairs_per_category=2, image_swaps=True)
    assert files.swaps is not None
    assert files.swap_boxes is not None
    before = pictured_relations(read_dataset(files.tsv), read_boxes(str(files.boxes)), of_pairs=True)
    after = pictured_relations(read_dataset(files.swaps), read_boxes(str(files.swap_boxes)), of_pairs=True)
    assert {str(category.axis) for category in before.values()} == {"horizontal", "vertical"}
    assert all(after[name] == category.opposite for name, category in before.items())
