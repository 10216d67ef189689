"""``vlmprobe demo benchmark``: a benchmark of one's own in one command, and the shipped models probed on it."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_line import Shell


@pytest.fixture(scope="module")
def folder(inside: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build one with another bias and wider margins."""
    folder = tmp_path_factory.mktemp("own") / "mine"
    inside(
        "demo", "benchmark", folder, "--pairs", 8, "--counter-share", 0.25, "--margin-x", 30, "--margin-y", 20,
        "--objects", 3, "--seed", 5, "--name-leak", 0.75, "--uneven", "75/25", "--mention-order", "fixed",
    ).ok()  # fmt: skip
    return folder


def _pairs(folder: Path) -> list[dict[str, Any]]:
    """Read back each row's answer and the boxes of the objects that its question is about."""
    csv.field_size_limit(sys.maxsize)
    with (folder / "benchmark.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    records = json.loads((folder / "boxes.json").read_text())
    pairs = []
    for row, record in zip(rows, records, strict=True):
        boxes = dict(zip(record["objects"]["name"], record["objects"]["bbox"], strict=True))
        named = [name for name in boxes if name in (row["question"], *(row[letter] for letter in "ABCD"))]
        named += [name for name in boxes if name in row["question"]]
        pairs.append({**row, "boxes": boxes, "named": named})
    return pairs


def test_the_files_have_what_was_asked_for(folder: Path) -> None:
    """Read from the files alone: so many rows, objects, and margins between the centres of the two boxes."""
    pairs = _pairs(folder)
    assert Counter(row["category"] for row in pairs) == {
        **dict.fromkeys(("left", "above", "far"), 12),
        **dict.fromkeys(("right", "below", "close"), 4),
    }
    for row in pairs:
        assert len(row["boxes"]) == 3
        first, second = (row["boxes"][name] for name in row["named"])
        across = abs(first[0] + first[2] / 2 - second[0] - second[2] / 2)
        down = abs(first[1] + first[3] / 2 - second[1] - second[3] / 2)
        # A box is in whole pixels, and cut off at the image's edge.
        assert across > 30 - 6
        assert down > 20 - 3


def test_the_datasheet_says_the_command_that_makes_it_again(
    folder: Path, inside: Shell, tmp_path: Path
) -> None:
    """Run as it stands there, it gives the same bytes."""
    sheet = (folder / "DATASHEET.md").read_text()
    (line,) = [line for line in sheet.splitlines() if line.strip().startswith("vlmprobe demo benchmark")]
    words = line.split()[1:]
    words[words.index("FOLDER")] = str(tmp_path / "again")
    inside(*words).ok()
    for name in ("benchmark.tsv", "boxes.json", "DATASHEET.md"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.full
def test_the_shipped_models_can_be_probed_on_it(
    folder: Path, inside: Shell, rows: Any, tmp_path: Path
) -> None:
    """By the command that it ends with: both perspectives have their accuracy, in the share asked for."""
    inside(
        "run", "tiny", "--scale", "2m", "--data", folder / "benchmark.tsv", "--boxes", folder / "boxes.json",
        "--home", tmp_path / "home",
    ).ok()  # fmt: skip
    found = rows(
        tmp_path / "home",
        "SELECT perspective, n, acc_both FROM accuracy_by_perspective ORDER BY perspective",
    )
    numbers = {perspective: n for perspective, n, _ in found}
    assert numbers == {"consistent": 12, "counter": 4}
    assert all(0 <= accuracy <= 1 for _, _, accuracy in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pairs", 0), "pairs per category: 0; use 1 or more"),
        (("--image-size", 100), "image size is 100; it has to be a multiple of 28 from 56 to 560"),
        (("--objects", "many"), "--objects is 'many'; pass a number, or a range like 2-4"),
        (("--objects", "4-2"), "objects are 4 to 2; use 2 to 6, the smaller number first"),
        (("--counter-share", 2), "counter share is 2.0; it has to be between 0 and 1"),
        (("--name-leak", 0.2), "name leak is 0.2; it has to be between 0.5 (none) and 1"),
        (("--uneven", "80"), "--uneven is '80'; pass two percentages that add up to 100, like 80/20"),
        (("--uneven", "80/30"), "--uneven is '80/30'; pass two percentages that add up to 100, like 80/20"),
        (("--mention-order", "any"), "mention order is 'any'; use balanced or fixed"),
        (("--depth-ratio", "nan"), "depth ratio is nan; it has to be between 1 and 3.27"),
    ],
)
def test_a_knob_that_is_off_is_one_line(
    options: tuple[object, ...], message: str, inside: Shell, tmp_path: Path
) -> None:
    """Exit code 2, and nothing is written."""
    ran = inside("demo", "benchmark", tmp_path / "out", *options)
    assert (ran.code, ran.errors) == (2, [f"error: {message}"])
    assert not (tmp_path / "out").exists()
