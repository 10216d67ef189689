"""Image swaps of the demo: the same questions about the scene with its two objects in each other's places."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vlmprobe.demo import BenchmarkFiles, Confounds, benchmark_rows, build_benchmark, relation, render
from vlmprobe.errors import UsageError
from vlmprobe.pairs import link_image_swaps, link_quads, read_boxes, read_dataset
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.demo import SceneObject

ROWS = list(benchmark_rows(8))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> BenchmarkFiles:
    """Build a benchmark of 24 rows with its image swaps."""
    return build_benchmark(tmp_path_factory.mktemp("swaps"), pairs_per_category=4, image_swaps=True)


def _rows(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def test_every_relation_is_reversed() -> None:
    """On all three axes, of the same two names; perspective agrees or lies as it did."""
    for row in ROWS:
        swapped = row.exchanged()
        before, after = ({thing.name: thing for thing in each.scene.objects} for each in (row, swapped))
        one, other = row.subject.name, row.reference.name
        for axis in SPACE:
            reversed_to = relation(after[one], after[other], axis)
            assert reversed_to is relation(before[one], before[other], axis).opposite
        assert relation(after[one], after[other], row.category.axis) is swapped.category
        assert (swapped.perspective, swapped.index) == (row.perspective, row.index)
        assert swapped.exchanged() == row


def test_pictures_differ_only_where_the_two_objects_are() -> None:
    """Pixel for pixel, the noise included, outside of the boxes that either solid has at the two places."""

    def cover(mask: np.ndarray, thing: SceneObject) -> None:
        x, y, width, height = thing.box
        # An outline's soft edge reaches half a pixel farther; that of lying discs (cone, cylinder) two, to the sides.
        mask[max(0, y - 1) : y + height + 1, max(0, x - 3) : x + width + 3] = True

    for row in ROWS:
        swapped = row.exchanged()
        covered = np.zeros((140, 140), dtype=bool)
        for thing in (*row.scene.main_pair, *swapped.scene.main_pair):
            cover(covered, thing)
        differ = (render(row.scene) != render(swapped.scene)).any(2)
        assert differ.any()
        assert not (differ & ~covered).any()


def test_the_files_are_linked_row_by_row(files: BenchmarkFiles) -> None:
    """By index and by swap_of; options keep their letters, boxes go with the names."""
    assert files.swaps is not None
    assert files.swap_boxes is not None
    rows, swapped = _rows(files.tsv), _rows(files.swaps)
    assert list(swapped[0]) == [*rows[0], "swap_of"]
    assert [row["swap_of"] for row in swapped] == [row["question_id"] for row in rows]
    for row, other in zip(rows, swapped, strict=True):
        assert [row[name] for name in ("index", *"ABCD")] == [other[name] for name in ("index", *"ABCD")]
        assert SPACE.category(other["category"]) is SPACE.category(row["category"]).opposite
        assert row["image"] != other["image"]
    of_rows, of_swaps = (json.loads(path.read_text()) for path in (files.boxes, files.swap_boxes))
    for number, (record, other) in enumerate(zip(of_rows, of_swaps, strict=True)):
        before, after = (
            dict(zip(each["objects"]["name"], each["objects"]["bbox"], strict=True))
            for each in (record, other)
        )
        first, second = (thing.name for thing in ROWS[number].scene.main_pair)
        assert set(before) == set(after)
        assert {name for name in before if before[name] != after[name]} == {first, second}
        # A solid keeps its own outline, but it has the other's place: shapes differ by less than 6 px from center.
        for one, place in ((first, second), (second, first)):
            center = [after[one][k] + after[one][k + 2] / 2 for k in (0, 1)]
            assert center == pytest.approx(
                [before[place][k] + before[place][k + 2] / 2 for k in (0, 1)], abs=6
            )


@pytest.mark.parametrize("template", ["published", "balanced", "yes-no"])
def test_a_reader_gets_the_same_questions_with_the_other_answers(
    files: BenchmarkFiles, template: str
) -> None:
    """Word for word, under a template that asks by the pair's id too; both files have quads of one perspective."""
    assert files.swaps is not None
    dataset, exchanged = (read_dataset(path, template=template) for path in (files.tsv, files.swaps))
    found = link_image_swaps(dataset, exchanged)
    assert [link.pair for link in found.links] == list(dataset.pairs)
    assert not found.problems
    for link in found.links:
        assert link.partner.pair_id == link.pair.pair_id
        assert (link.partner.subject, link.partner.reference) == (link.pair.subject, link.pair.reference)
        for one, other in zip(link.pair.questions, link.partner.questions, strict=True):
            assert (one.text, one.expected, one.opposite) == (other.text, other.opposite, other.expected)
    perspectives = [
        link_quads(data, read_boxes(str(boxes))).perspectives
        for data, boxes in ((dataset, files.boxes), (exchanged, files.swap_boxes))
    ]
    assert perspectives[0] == perspectives[1]
    assert Counter(perspectives[0].values()) == {"consistent": 4, "counter": 4}


def test_what_is_no_image_swap_is_a_problem(files: BenchmarkFiles, tmp_path: Path) -> None:
    """A row that is missing or keeps its relation is named; a file without any swap is refused."""
    assert files.swaps is not None
    lines = files.swaps.read_text().splitlines()
    original = files.tsv.read_text().splitlines()
    mixed = tmp_path / "mixed.tsv"
    # Row 0 is not exchanged, row 3 is missing.
    mixed.write_text("\n".join([lines[0], f"{original[1]}\tdemo-000000", *lines[2:4], *lines[5:]]) + "\n")
    dataset = read_dataset(files.tsv)
    found = link_image_swaps(dataset, read_dataset(mixed))
    assert len(found.links) == 22
    assert [(problem.line, problem.what) for problem in found.problems] == [
        (2, "no image swap"),
        (5, "no partner"),
    ]
    assert "it is left, where the pair is left: the relation is not reversed" in found.problems[0].why
    with pytest.raises(
        UsageError, match="pass a benchmark and its exchanged pictures, as 'vlmprobe data mirror' or"
    ):
        link_image_swaps(dataset, read_dataset(shutil.copy(files.tsv, tmp_path / "copy.tsv")))
    with pytest.raises(UsageError, match="image swaps need one template"):
        link_image_swaps(dataset.under("yes-no"), dataset)


def test_image_swaps_are_said_in_the_datasheet_and_change_nothing_else(
    files: BenchmarkFiles, tmp_path: Path
) -> None:
    """The first file is what it is without them. A leak is turned round: the marked color is lower or nearer."""
    plain = build_benchmark(tmp_path, pairs_per_category=4)
    assert plain.tsv.read_bytes() == files.tsv.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DATASHEET.md", "benchmark.tsv", "boxes.json"]
    assert "--counter-share 0.5 --image-swaps\n" in files.datasheet.read_text()
    assert "`swap_of` is the question_id" in files.datasheet.read_text()
    for row in benchmark_rows(2, confounds=Confounds(name_leak=1.0, mention_order="fixed")):
        swapped = row.exchanged()
        assert relation(swapped.subject, swapped.reference, row.category.axis) is row.category.opposite
