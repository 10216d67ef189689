"""Mirrored pictures: which pairs have one, what is written of them, and that both files are image swaps."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from vlmprobe.errors import InputError, UsageError
from vlmprobe.pairs import (
    SPACE,
    TEMPLATES,
    Axis,
    AxisSet,
    Category,
    Dataset,
    Mirrored,
    link_image_swaps,
    read_dataset,
    write_mirrored,
)

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import TsvFiles

WIDTH, HEIGHT = 9, 6
EYES = Axis(
    "gaze", Category("up"), Category("down"), questions={"published": "Is the {a} up or down of the {b}?"}
)


def picture(seed: int, kind: str = "PNG", **saved: Any) -> bytes:
    """Return noise, which no mirror leaves as it is."""
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **saved)
    return buffer.getvalue()


def cell(content: bytes) -> str:
    """Return an image as files hold it."""
    return base64.b64encode(content).decode()


def lines(path: Path, *records: dict[str, Any]) -> Path:
    """Write records as JSONL."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def record(**changed: Any) -> dict[str, Any]:
    """Return a row of the generic form."""
    row = {"subject": "cup", "reference": "book", "category": "left", "image": cell(picture(0))}
    return row | changed


def mirrored(path: Path, **options: Any) -> tuple[Dataset, Mirrored, Dataset]:
    """Return a benchmark, what was written, and how that is read."""
    dataset = read_dataset(path, max_per_category=0, **options)
    written = write_mirrored(dataset, path.with_name("mirrored.jsonl"))
    return dataset, written, read_dataset(written.path, **options)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_picture_is_mirrored_pixel_for_pixel(tmp_path: Path, kind: str) -> None:
    """Of what a model is shown, so that a picture stored with losses loses nothing more."""
    row = record(image=cell(picture(1, kind)))
    dataset, _, other = mirrored(lines(tmp_path / "bench.jsonl", row))
    before, after = (np.asarray(each.image(each.pairs[0])) for each in (dataset, other))
    assert after.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(after, before[:, ::-1])


def test_pixels_alone_are_stored(tmp_path: Path) -> None:
    """What was transparent is white, as it is shown; a color profile, which is not applied, does not go along."""
    pixels = np.full((HEIGHT, WIDTH, 3), 200, dtype=np.uint8)
    pixels[:, :2], pixels[0, 5:] = (10, 20, 30), (255, 255, 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", transparency=(10, 20, 30))
    rows = [record(image=cell(each)) for each in (buffer.getvalue(), picture(1, icc_profile=bytes(200)))]
    dataset, _, other = mirrored(lines(tmp_path / "bench.jsonl", *rows))
    for pair, partner in zip(dataset.pairs, other.pairs, strict=True):
        before, after = np.asarray(dataset.image(pair)), np.asarray(other.image(partner))
        assert np.array_equal(after, before[:, ::-1])
        with Image.open(io.BytesIO(other.image_bytes(partner))) as stored:
            assert (stored.mode, stored.info) == ("RGB", {})


@pytest.mark.parametrize("template", TEMPLATES)
def test_both_files_are_image_swaps_under_every_template(
    tsv: TsvFiles, tmp_path: Path, template: str
) -> None:
    """Word for word the same questions with each other's answers; of each axis but the horizontal one, none."""
    rows = [
        tsv.horizontal(category=category, image=cell(picture(place % 3)), index=f"row {place}")
        for place, category in enumerate(["left", "right", "above", "left", "below"])
    ]
    distance = tsv.distance("cup", "book", "lamp", "jar") | {"image": cell(picture(5)), "index": "row 5"}
    dataset, written, other = mirrored(tsv.write(*rows, distance), template=template)
    found = link_image_swaps(dataset, other)
    assert [link.pair.pair_id for link in found.links] == ["row 0", "row 1", "row 3"]
    assert {problem.what for problem in found.problems} == {"no partner"}
    for link in found.links:
        assert (link.partner.subject, link.partner.reference) == (link.pair.subject, link.pair.reference)
        for one, partner in zip(link.pair.questions, link.partner.questions, strict=True):
            assert (one.text, one.expected, one.opposite) == (
                partner.text,
                partner.opposite,
                partner.expected,
            )
    assert written.n_pairs == {"left": 1, "right": 2}
    assert (written.n_images, written.problems) == (2, ())


@pytest.mark.parametrize(
    "name", ["the cup", "The cup", "cup.", "the the cup", "a cup", "ein Becher\tvoll", "杯"]
)
def test_an_object_keeps_its_name(tmp_path: Path, name: str) -> None:
    """Also one that reading would shorten a second time."""
    row = record(subject=f"the {name} .", index="№ 1")
    dataset, _, other = mirrored(lines(tmp_path / "bench.jsonl", row))
    assert dataset.pairs[0].subject == name
    assert len(link_image_swaps(dataset, other).links) == 1


def test_boxes_depths_and_names_of_rows_go_along(tmp_path: Path) -> None:
    """A box keeps its size and its height, at the same distance from the other side; nothing contradicts the row."""
    row = record(
        index="17",
        question_id="q17",
        subject_box=[1, 2, 3, 4],
        reference_box=[6.5, 0, 2, 5],
        subject_depth=2.5,
        reference_depth=3,
    )
    _, _, other = mirrored(lines(tmp_path / "bench.jsonl", row))
    (pair,) = other.pairs
    assert pair.subject_box is not None
    assert pair.reference_box is not None
    first, second = ((box.x, box.y, box.width, box.height) for box in (pair.subject_box, pair.reference_box))
    assert (first, second) == ((WIDTH - 4, 2, 3, 4), (WIDTH - 8.5, 0, 2, 5))
    assert (pair.pair_id, pair.question_id, pair.category) == ("17", "q17", "right")
    assert (pair.subject_depth, pair.reference_depth) == (2.5, 3)


def test_a_picture_that_cannot_be_mirrored_costs_its_rows(tmp_path: Path) -> None:
    """A symmetric one and a damaged one are problems with their lines; the file has the rest."""
    symmetric = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(symmetric, "PNG")
    rows = [
        record(),
        record(image=cell(symmetric.getvalue()), category="right"),
        record(image=cell(picture(2)[:-40])),
    ]
    _, written, other = mirrored(lines(tmp_path / "bench.jsonl", *rows))
    assert [(problem.line, problem.what) for problem in written.problems] == [(2, "image"), (3, "image")]
    assert written.problems[0].why == "the picture is its own mirror image"
    assert "damaged or cut off" in written.problems[1].why
    assert [pair.pair_id for pair in other.pairs] == ["1"]
    with pytest.raises(
        InputError, match="no picture can be mirrored; the first is of line 1: the picture is"
    ):
        mirrored(lines(tmp_path / "symmetric.jsonl", rows[1]))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("row", "axes", "says"),
    [
        ("generic above", SPACE, "has no pair of left or right, and a mirror reverses no other relation"),
        ("ready-made", SPACE, "contains its own questions .ready-made form. and names no objects"),
        ("own", AxisSet((EYES,)), "the benchmark's axes are gaze; a mirror reverses left or right alone"),
    ],
)
def test_what_has_no_left_and_right_is_refused_in_one_line(
    tsv: TsvFiles, tmp_path: Path, row: str, axes: AxisSet, says: str
) -> None:
    """Whichever of the three is missing: the pairs, the names, or the axis."""
    if row == "ready-made":
        path = tsv.write(tsv.ready_made())
    else:
        path = lines(tmp_path / "bench.jsonl", record(category="up" if row == "own" else "above"))
    with pytest.raises(UsageError, match=says):
        mirrored(path, axes=axes)
    assert not (tmp_path / "mirrored.jsonl").exists()
