"""Benchmarks that lie on purpose: the lie has the size that was asked for, and the picture stays true."""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.demo import (
    BenchmarkRow,
    Confounds,
    benchmark_rows,
    build_benchmark,
    leaking_colours,
    relation,
)
from vlmprobe.demo.scenes import COLOURS, SHAPES
from vlmprobe.errors import UsageError
from vlmprobe.pairs import read_dataset
from vlmprobe.pairs.axes import DISTANCE, HORIZONTAL, SPACE, VERTICAL

if TYPE_CHECKING:
    from pathlib import Path

HONEST = list(benchmark_rows(40))
ALL_LIES = Confounds(canonical_share=0.8, name_leak=0.9, mention_order="fixed")


def _lying(pairs: int = 40, seed: int = 0, **lies: Any) -> list[BenchmarkRow]:
    return list(benchmark_rows(pairs, seed=seed, confounds=Confounds(**lies)))


def _marked(rows: list[BenchmarkRow], seed: int = 0) -> list[tuple[bool, bool]]:
    """Whether the canonical object of each row (the higher one, say) and the other one have a leaking color."""
    ends = [
        (row.subject, row.reference) if row.category.is_canonical else (row.reference, row.subject)
        for row in rows
    ]
    colours = leaking_colours(seed)
    return [(canonical.colour in colours, other.colour in colours) for canonical, other in ends]


def test_without_confounds_the_files_are_what_they_always_were(tmp_path: Path) -> None:
    """Everything but the PNG bytes, which depend on Pillow, has the hash of the version before there were confounds."""
    files = build_benchmark(tmp_path, pairs_per_category=5, confounds=Confounds())
    csv.field_size_limit(sys.maxsize)
    with files.tsv.open(newline="") as table:
        rows = [line[:4] + line[5:] for line in csv.reader(table, delimiter="\t")]
    text = "\n".join("\t".join(row) for row in rows)
    assert [
        hashlib.sha256(content).hexdigest()[:16]
        for content in (text.encode(), files.boxes.read_bytes(), files.datasheet.read_bytes())
    ] == ["86eccbcf18a2f4d2", "395c6b97beee095d", "f1c635204d8d222c"]
    assert _lying() == HONEST


@pytest.mark.parametrize("lies", [{"name_leak": 0.9}, {"mention_order": "fixed"}])
def test_a_lie_in_names_leaves_the_geometry_alone(lies: dict[str, Any]) -> None:
    """Places, depths and sizes are those of the honest rows, so is the category, and names stay distinct."""
    changed = 0
    for row, honest in zip(_lying(**lies), HONEST, strict=True):
        assert row.category is honest.category
        assert relation(row.subject, row.reference, row.category.axis) is row.category
        assert len({thing.name for thing in row.scene.objects}) == len(row.scene.objects)
        unnamed = [
            tuple(replace(thing, colour="", shape="") for thing in each.scene.objects)
            for each in (row, honest)
        ]
        assert unnamed[0] == unnamed[1]
        assert row.scene.objects[2:] == honest.scene.objects[2:]
        changed += row.scene != honest.scene
    assert changed > 40


def test_names_leak_as_often_as_asked() -> None:
    """The higher or farther object has a leaking color in 90 % of 400 rows of an axis, the other one in 10 %."""
    rows = [row for row in _lying(200, name_leak=0.9) if row.category.axis in (VERTICAL, DISTANCE)]
    for axis in (VERTICAL, DISTANCE):
        found = _marked([row for row in rows if row.category.axis is axis])
        shares = [sum(each) / len(found) for each in zip(*found, strict=True)]
        # The standard error of a share of 400 rows is 0.015.
        assert shares == pytest.approx([0.9, 0.1], abs=0.05)


def test_a_full_leak_tells_every_answer_and_nothing_of_left_and_right() -> None:
    """With 1, colors alone say what is above and far; horizontal rows have the honest names."""
    rows = _lying(name_leak=1.0)
    for row, honest, marked in zip(rows, HONEST, _marked(rows), strict=True):
        if row.category.axis is HORIZONTAL:
            assert row == honest
        else:
            assert marked == (True, False)


def test_the_leaking_colors_are_half_of_them_and_depend_on_the_seed() -> None:
    """The same in every row of a seed; all 6 colors are in the leaking half of some seed."""
    halves = [leaking_colours(seed) for seed in range(20)]
    assert {len(half) for half in halves} == {len(COLOURS) // 2}
    assert set().union(*halves) == set(COLOURS)
    assert (
        _marked([row for row in _lying(seed=7, name_leak=1.0) if row.category.axis is DISTANCE], 7)
        == [(True, False)] * 80
    )


@pytest.mark.parametrize(("share", "canonical"), [(0.8, 64), (0.2, 16), (0.65, 52)])
def test_each_axis_has_the_share_of_canonical_categories(share: float, canonical: int) -> None:
    """Of 80 rows of an axis; axes alternate as ever, and each category has its share of counter rows."""
    rows = _lying(canonical_share=share)
    assert [row.category.axis for row in rows] == [row.category.axis for row in HONEST]
    assert Counter(row.category for row in rows) == {
        category: canonical if category.is_canonical else 80 - canonical for category in SPACE.categories
    }
    counter = Counter(row.category for row in rows if row.perspective == "counter")
    assert counter == {
        category: canonical // 2 if category.is_canonical else (80 - canonical) // 2
        for category in SPACE.categories
    }
    assert all(relation(row.subject, row.reference, row.category.axis) is row.category for row in rows)
    rare = benchmark_rows(40, counter_share=0.25, confounds=Confounds(canonical_share=share))
    assert Counter(row.category for row in rare if row.perspective == "counter") == {
        category: (canonical if category.is_canonical else 80 - canonical) // 4
        for category in SPACE.categories
    }


def test_a_fixed_order_of_mention_names_shapes_in_one_order() -> None:
    """On every axis; the honest benchmark names either first, about equally often."""

    def in_order(row: BenchmarkRow) -> bool:
        return SHAPES.index(row.subject.shape) < SHAPES.index(row.reference.shape)

    assert all(map(in_order, _lying(mention_order="fixed")))
    differ = [row for row in HONEST if row.subject.shape != row.reference.shape]
    assert 0.4 < sum(map(in_order, differ)) / len(differ) < 0.6


def test_all_lies_go_together_and_the_tool_reads_them(tmp_path: Path) -> None:
    """The file's pairs are those of the rows; the datasheet says every lie and the command for it."""
    files = build_benchmark(tmp_path, pairs_per_category=10, seed=3, confounds=ALL_LIES)
    rows = list(benchmark_rows(10, seed=3, confounds=ALL_LIES))
    dataset = read_dataset(files.tsv)
    assert not dataset.problems
    assert [(pair.subject, pair.reference, pair.category) for pair in dataset.pairs] == [
        (row.subject.name, row.reference.name, row.category) for row in rows
    ]
    sheet = files.datasheet.read_text()
    assert "two objects, 16 left, 4 right, 16 above, 4 below, 16 far, 4 close." in sheet
    assert "--counter-share 0.5 --name-leak 0.9 --uneven 80/20 --mention-order fixed\n" in sheet
    first, second, third = leaking_colours(3)
    assert f"is {first}, {second} or {third}, and as often the other one" in sheet
    assert "Uneven on purpose: 80/20 %" in sheet
    assert "in the order ball, cube, cone, cylinder." in sheet
    assert "on purpose" not in build_benchmark(tmp_path, pairs_per_category=1).datasheet.read_text()


@pytest.mark.parametrize(
    ("lies", "message"),
    [
        ({"name_leak": 0.4}, r"name leak is 0.4; it has to be between 0.5 \(none\) and 1"),
        ({"name_leak": float("nan")}, "name leak is nan"),
        ({"canonical_share": 1.0}, "canonical share is 1.0; it has to be above 0 and below 1"),
        ({"mention_order": "random"}, "mention order is 'random'; use balanced or fixed"),
    ],
)
def test_a_lie_out_of_range_is_refused(lies: dict[str, Any], message: str) -> None:
    """One line says what may be."""
    with pytest.raises(UsageError, match=message):
        Confounds(**lies)
