"""The one rule by which images of every mode and format become 8-bit RGB."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from vlmprobe.errors import RefusedImageError
from vlmprobe.extraction.request import ExtractOptions, ExtractRequest, prepare
from vlmprobe.families import KeptWorkers, ModelOptions
from vlmprobe.pairs import image_lines, one_color_lines, read_dataset
from vlmprobe.pairs.images import decode_image, image_facts
from vlmprobe.workspace import Silent

from .made_images import ALPHA, GRAY, IMAGES, PICTURE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: What each image becomes. ``pillow``: what Pillow's conversion gives, as before there was a rule; ``white``: what
#: transformers' convert_to_rgb gives, on white; an array: these pixels; a text: refused, with these words.
OUTCOMES: dict[str, Any] = {
    **dict.fromkeys(("gray PNG", "RGB PNG", "bilevel PNG", "palette PNG", "gray JPEG", "RGB JPEG"), "pillow"),
    **dict.fromkeys(("CMYK JPEG", "CMYK TIFF", "YCbCr TIFF", "RGB BMP", "RGB PPM", "RGB WebP"), "pillow"),
    **dict.fromkeys(("opaque GIF", "opaque RGBA PNG"), "pillow"),
    **dict.fromkeys(("RGBA PNG", "LA PNG", "RGBA WebP", "RGBA TIFF", "LA TIFF"), "white"),
    "32-bit BMP, its fourth byte unused": "pillow",
    "premultiplied LA TIFF": np.where(ALPHA == 255, GRAY, 255),
    "palette PNG, one color transparent": "white",
    "palette PNG, alpha by color": "white",
    "gray PNG, a value transparent": "white",
    "RGB PNG, a color transparent": "white",
    "bilevel PNG, black transparent": "white",
    "transparent GIF": "white",
    "4-bit gray PNG, a value transparent": np.tile(
        np.array([0, 17, 34, 255, 68, 85, 102, 119], np.uint8), (6, 1)
    ),
    "16-bit RGBA PNG": "white",
    "16-bit LA PNG": "white",
    "16-bit gray PNG, a value transparent": np.where(GRAY[2, 3] == GRAY, 255, GRAY),
    **dict.fromkeys(("16-bit gray PNG", "16-bit gray TIFF", "16-bit gray TIFF, big-endian"), GRAY),
    **dict.fromkeys(
        ("16-bit gray TIFF, white is zero", "16-bit PGM", "16-bit PGM as text", "10-bit PGM"), GRAY
    ),
    "12-bit gray TIFF": np.round((GRAY.astype(int) * 4095 // 255) * 255 / 4095),
    "16-bit RGB PNG": "pillow",
    **dict.fromkeys(("16-bit RGB PNG, dark", "16-bit RGB TIFF, dark"), "pillow"),
    **dict.fromkeys(
        ("12 bits in 16-bit RGB PNG", "12 bits in 16-bit RGB TIFF"),
        "mode RGB: color of 16 bits whose values use less than a quarter of 0 to 65535",
    ),
    "12 bits in 16-bit RGBA PNG": "mode RGBA: color of 16 bits whose values use less than a quarter",
    "16-bit gray PNG, dark": GRAY // 16,
    "depth in millimeters": "mode I;16: gray whose values use less than a quarter of 0 to 65535",
    "32-bit TIFF": "mode I: 32-bit or signed gray",
    "float TIFF": "mode F: gray in floating point",
    "float PFM": "mode F: gray in floating point",
    "signed 16-bit TIFF": "mode I: 32-bit or signed gray",
    "LAB TIFF": "mode LAB: colors that are not read; save it as RGB",
    "16-bit RGB PNG, a color transparent": "mode RGB: a transparent color of 16 bits",
    "RGBA PNG, nothing opaque": "mode RGBA: transparent everywhere",
    "palette PNG, nothing opaque": "mode P: transparent everywhere",
}


def _pillow(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _transformers(content: bytes) -> Any:
    from transformers.image_transforms import convert_to_rgb

    return np.asarray(convert_to_rgb(Image.open(io.BytesIO(content))))


def test_the_table_has_every_image() -> None:
    """None is made and not looked at."""
    assert OUTCOMES.keys() == IMAGES.keys()


@pytest.mark.parametrize("what", OUTCOMES)
def test_every_mode_and_format_has_its_outcome(what: str) -> None:
    """An image is what it shows, or it is refused with its mode; the facts say whether Pillow alone shows another."""
    content, outcome = IMAGES[what](), OUTCOMES[what]
    if isinstance(outcome, str) and outcome not in ("pillow", "white"):
        for read in (image_facts, decode_image):
            with pytest.raises(RefusedImageError) as refused:
                read(content)
            assert str(refused.value).startswith(outcome)
        return
    shown = decode_image(content)
    assert shown.mode == "RGB"
    if isinstance(outcome, str):
        expected = {"pillow": _pillow, "white": _transformers}[outcome](content)
    else:
        expected = np.broadcast_to(outcome[..., None], (6, 8, 3))
    assert np.array_equal(np.asarray(shown), expected)
    facts = image_facts(content)
    assert facts.treated is not (isinstance(outcome, str) and outcome == "pillow")
    notes = [note for note in facts.notes if not note.startswith("nearly one color")]
    assert len(notes) == facts.treated


def test_eight_bits_are_what_transformers_makes_of_them() -> None:
    """Where a processor of transformers gets the image first, a model sees the same."""
    eight = [what for what, outcome in OUTCOMES.items() if isinstance(outcome, str) and outcome == "pillow"]
    for what in eight:
        content = IMAGES[what]()
        assert np.array_equal(np.asarray(decode_image(content)), _transformers(content)), what


def test_transparent_pixels_are_white_and_half_transparent_ones_lighter() -> None:
    """The color that is stored under a transparent pixel is not seen."""
    shown = np.asarray(decode_image(IMAGES["RGBA PNG"]()))
    assert (shown[ALPHA == 0] == 255).all()
    assert np.array_equal(shown[ALPHA == 255], PICTURE[ALPHA == 255])
    assert (shown[ALPHA == 128] >= PICTURE[ALPHA == 128]).all()


def _jpeg(**options: Any) -> str:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", **options)
    return base64.b64encode(buffer.getvalue()).decode()


def _encoded(what: str) -> str:
    return base64.b64encode(IMAGES[what]()).decode()


def test_what_a_user_should_know_of_images_is_said_once_a_kind(tsv: Any) -> None:
    """Orientation and color profile are not applied; a treated image says how. Each with its number and first line."""
    turned, upright = Image.Exif(), Image.Exif()
    turned[0x0112], upright[0x0112] = 6, 1
    profile = b"\0" * 16 + b"RGB " + b"\0" * 60 + b"Display P3"
    cells = [
        _jpeg(exif=turned),
        _jpeg(exif=turned, quality=90),
        _jpeg(exif=upright),
        _jpeg(icc_profile=profile),
    ]
    png = IMAGES["RGB PNG"]()
    for points in (b"\x09\x10\0\1", b"\1\x0d\0\1"):
        chunk = b"cICP" + points
        whole = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        cells.append(base64.b64encode(png[:33] + whole + png[33:]).decode())
    cells += [_encoded("RGBA PNG"), _encoded("16-bit gray PNG"), _encoded("opaque RGBA PNG")]
    dataset = read_dataset(tsv.write(*(tsv.horizontal(image=cell) for cell in cells)))
    assert image_lines(dataset) == [
        "2 images: EXIF orientation 6, not applied (first on line 2)",
        "2 images: color profile other than sRGB, not applied (first on line 5)",
        "1 image: transparency, shown on white (line 8)",
        "1 image: wide gray, scaled to 8 bits (line 9)",
    ]


def _pixels(values: Any, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


_LARGE = np.tile(PICTURE, (20, 20, 1))
_NOISE = np.random.default_rng(0)
_WITH_A_STRAY_PIXEL = np.full((64, 64, 3), 9, np.uint8)
_WITH_A_STRAY_PIXEL[7, 7] = 255
_WITH_A_SMALL_OBJECT = np.full((64, 64, 3), 9, np.uint8)
_WITH_A_SMALL_OBJECT[7:12, 7:12] = 255
_FRAMES = [Image.new("L", (8, 6), 255), Image.fromarray(GRAY)]

#: An image in which there may be nothing to see, and what is noted of that.
BLANK: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "alpha of 1 of 255": (
        lambda: _pixels(np.dstack([PICTURE, np.ones_like(GRAY)])),
        "nearly one color, white",
    ),
    "gray with alpha of 1 of 255": (
        lambda: _pixels(np.dstack([GRAY, np.ones_like(GRAY)])),
        "nearly one color, white",
    ),
    "WebP with alpha of 1 of 255": (
        lambda: _pixels(np.dstack([PICTURE, np.ones_like(GRAY)]), "WEBP", lossless=True, exact=True),
        "nearly one color, white",
    ),
    "all but a corner transparent, the corner white": (
        lambda: _pixels(np.dstack([PICTURE * 0 + 255, np.where(ALPHA == 255, 255, 0).astype(np.uint8)])),
        "nearly one color, white",
    ),
    "GIF whose first frame is blank": (
        lambda: _pixels(_FRAMES[0], "GIF", save_all=True, append_images=_FRAMES[1:]),
        "nearly one color, white",
    ),
    "PNG whose first frame is blank": (
        lambda: _pixels(_FRAMES[0], save_all=True, append_images=_FRAMES[1:]),
        "nearly one color, white",
    ),
    "TIFF whose first page is blank": (
        lambda: _pixels(_FRAMES[0], "TIFF", save_all=True, append_images=_FRAMES[1:]),
        "nearly one color, white",
    ),
    "black PNG": (lambda: _pixels(PICTURE * 0), "nearly one color, black"),
    "black RGBA": (lambda: _pixels(np.dstack([PICTURE * 0, GRAY * 0 + 255])), "nearly one color, black"),
    "gray JPEG": (lambda: _pixels(np.full((480, 640), 128, np.uint8), "JPEG"), "nearly one color, #808080"),
    "red WebP": (
        lambda: _pixels(PICTURE * 0 + np.array([255, 0, 0], np.uint8), "WEBP", lossless=True),
        "nearly one color, #ff0000",
    ),
    "BMP, which is not compressed": (
        lambda: _pixels(np.zeros((200, 200, 3), np.uint8), "BMP"),
        "nearly one color, black",
    ),
    "JPEG of one color with a large profile": (
        lambda: _pixels(np.full((480, 640, 3), 255, np.uint8), "JPEG", icc_profile=bytes(3000)),
        "nearly one color, white",
    ),
    "noise that nobody sees": (
        lambda: _pixels(_NOISE.integers(126, 130, (64, 64, 3), np.uint8)),
        "nearly one color, #",
    ),
    "16 bits of one gray": (
        lambda: _pixels(np.full((6, 8), 40000, np.uint16)),
        "nearly one color, #9c9c9c",
    ),
    "palette of one color": (
        lambda: _pixels(Image.new("RGB", (8, 6), "blue").quantize(2)),
        "nearly one color, #0000ff",
    ),
    "palette, all of it nearly transparent": (
        lambda: _pixels(Image.fromarray(PICTURE).quantize(16), transparency=bytes([1] * 16)),
        "nearly one color, white",
    ),
    "WebP whose first frame is blank": (
        lambda: _pixels(
            Image.new("RGB", (8, 6), "white"),
            "WEBP",
            save_all=True,
            append_images=[Image.fromarray(PICTURE)],
            lossless=True,
        ),
        "nearly one color, white",
    ),
    "CMYK without ink": (
        lambda: _pixels(Image.new("CMYK", (64, 64)), "JPEG"),
        "nearly one color, white",
    ),
    "PNG of one color with a profile larger than it": (
        lambda: _pixels(np.zeros((480, 640), np.uint8), icc_profile=_NOISE.bytes(100_000)),
        "nearly one color, black",
    ),
    "PNG that is not compressed": (
        lambda: _pixels(np.zeros((480, 640, 3), np.uint8), compress_level=0),
        "nearly one color, black",
    ),
    "two colors": (lambda: _pixels(np.tile(np.repeat([0, 255], 32).astype(np.uint8), (64, 1))), None),
    "a faint gradient": (lambda: _pixels(np.tile(np.arange(120, 127).astype(np.uint8), (64, 8))), None),
    "one stray pixel": (lambda: _pixels(_WITH_A_STRAY_PIXEL), "nearly one color, #090909"),
    "a small object": (lambda: _pixels(_WITH_A_SMALL_OBJECT), None),
    "a dark picture": (lambda: _pixels(PICTURE // 16), None),
    "a pale picture": (lambda: _pixels(255 - PICTURE // 16), None),
    "a picture": (lambda: _pixels(_LARGE), None),
    "GIF of several frames": (
        lambda: _pixels(_FRAMES[1], "GIF", save_all=True, append_images=_FRAMES[:1]),
        None,
    ),
}


@pytest.mark.parametrize("what", BLANK)
@pytest.mark.parametrize("decode", [False, True])
def test_an_image_with_nothing_to_see_is_noted(what: str, decode: bool) -> None:
    """Also where a run reads only headers: such images have few bytes, unless noise in them was kept."""
    make, expected = BLANK[what]
    if what == "noise that nobody sees" and not decode:
        expected = None
    found = [note for note in image_facts(make(), decode=decode).notes if note.startswith("nearly")]
    assert len(found) == (expected is not None)
    assert all(note.startswith(str(expected)) for note in found)


def test_frames_that_are_not_shown_are_noted() -> None:
    """Whether they are like the first is not looked at."""
    for what, (make, _) in BLANK.items():
        assert ("several frames, the first is shown" in image_facts(make()).notes) is (
            "first" in what or "frames" in what
        )


def test_a_run_keeps_the_note_of_images_of_one_color(tsv: Any) -> None:
    """Of those in its sample, with the row."""
    white = base64.b64encode(tsv.image(colour="white")).decode()
    dataset = read_dataset(tsv.write(tsv.horizontal(image=_encoded("RGB PNG")), tsv.horizontal(image=white)))
    assert dataset.problems == ()
    assert one_color_lines(dataset) == ["1 image: nearly one color, white (line 3)"]
    sampled = read_dataset(tsv.path, max_per_category=1)
    assert len(one_color_lines(sampled)) == (sampled.pairs[0].line == 3)


#: Two ways to store a picture, and whether they are one picture: their pixels in 8-bit RGB are equal.
STORED: dict[str, tuple[Callable[[], bytes], bool]] = {
    "PNG with other compression": (lambda: _pixels(PICTURE, compress_level=0), True),
    "PNG with a comment": (lambda: _pixels(PICTURE, icc_profile=bytes(200)), True),
    "RGBA, opaque": (lambda: _pixels(np.dstack([PICTURE, GRAY * 0 + 255])), True),
    "WebP without losses": (lambda: _pixels(PICTURE, "WEBP", lossless=True), True),
    "BMP": (lambda: _pixels(PICTURE, "BMP"), True),
    "TIFF": (lambda: _pixels(PICTURE, "TIFF"), True),
    "compressed TIFF": (lambda: _pixels(PICTURE, "TIFF", compression="tiff_lzw"), True),
    "PPM": (lambda: _pixels(PICTURE, "PPM"), True),
    "16 bits a channel": (IMAGES["16-bit RGB PNG"], True),
    "palette": (lambda: _pixels(Image.fromarray(PICTURE).quantize(48)), True),
    "JPEG": (lambda: _pixels(PICTURE, "JPEG", quality=95), False),
    "one pixel more": (lambda: _pixels(np.vstack([PICTURE, PICTURE[:1]])), False),
    "one value other": (lambda: _pixels(PICTURE ^ (np.arange(144).reshape(6, 8, 3) == 5)), False),
    "turned": (lambda: _pixels(PICTURE[::-1]), False),
    "turned on its side": (lambda: _pixels(PICTURE.reshape(8, 6, 3)), False),
}


@pytest.mark.parametrize("what", STORED)
def test_the_digest_of_pixels_is_that_of_what_is_shown(what: str) -> None:
    """However a picture is stored, it is the same; with losses it is another one."""
    make, same = STORED[what]
    first = image_facts(_pixels(PICTURE), decode=True)
    second = image_facts(make(), decode=True)
    assert first.sha256 != second.sha256
    assert (first.pixels == second.pixels) is same


def test_a_refused_image_is_a_row_problem_and_makes_another_dataset(tsv: Any) -> None:
    """Such rows gave pairs before, so the id that they had must not name fewer pairs."""
    path = tsv.write(tsv.horizontal(), tsv.horizontal(image=_encoded("float TIFF")))
    dataset = read_dataset(path)
    (problem,) = dataset.problems
    assert (problem.line, problem.what, problem.column) == (3, "image", "image")
    assert dataset.options["decoding"] == 2
    assert read_dataset(path, decode=True).dataset_id == dataset.dataset_id


@pytest.mark.parametrize(
    ("what", "enters"),
    [
        ("RGB PNG", False),
        ("opaque RGBA PNG", False),
        ("CMYK JPEG", False),
        ("16-bit RGB PNG", False),
        ("RGBA PNG", True),
        ("16-bit gray PNG", True),
    ],
)
def test_the_rule_enters_the_identity_of_runs_whose_pixels_it_changes(
    tsv: Any, what: str, enters: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other runs keep the key that they have in older homes, and are complete there."""
    monkeypatch.chdir(tmp_path)
    path = tsv.write(tsv.horizontal(), tsv.horizontal(image=_encoded(what)))
    options = ExtractOptions(path, model=ModelOptions(dtype="float32", device="cpu"))
    prepared = prepare(ExtractRequest("tiny", "2m", options), Silent(), workers=KeptWorkers())
    prepared.family.close()
    assert (prepared.plan.config["identity"].get("decoding") == 2) is enters
    assert {"decoding", "cells", "contradictions"}.isdisjoint(prepared.dataset.options)


def test_a_treated_image_outside_the_sample_changes_no_run(tsv: Any) -> None:
    """Unless it is one of a distance pair, which quads may ask about."""
    objects = ("cup", "tap", "jar")
    cells = (_encoded("RGBA PNG"), _encoded("RGB PNG"), _encoded("gray PNG"))
    left = [
        tsv.horizontal(question=f"How are {name} and book positioned?", image=cell)
        for name, cell in zip(objects, cells, strict=True)
    ]
    far = [
        row | tsv.distance(name, "bed", "tv", "rug") | {"image": row["image"]}
        for name, row in zip(objects, left, strict=True)
    ]
    path = tsv.write(*left)
    sampled = [read_dataset(path, max_per_category=1, seed=seed) for seed in range(12)]
    assert {(dataset.treats_images, dataset.pairs[0].image_treated) for dataset in sampled} == {
        (True, True),
        (False, False),
    }
    path = tsv.write(*far)
    assert all(read_dataset(path, max_per_category=1, seed=seed).treats_images for seed in range(4))
