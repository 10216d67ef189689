"""Base64 cells, what a header says, and decoding."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmprobe.errors import ImageError
from vlmprobe.pairs.images import decode_base64, decode_image, image_facts


@pytest.mark.parametrize(
    "cell",
    ["aGk=", " aG\nk= \t", "data:image/png;base64,aGk=", "DATA:image/x;a=b;BASE64,aGk=", "aGk", r"aG\nk\n"],
)
def test_base64_with_white_space_or_a_data_prefix(cell: str) -> None:
    """White space, also escaped, a data URL's prefix and missing padding do not matter."""
    assert decode_base64(cell) == b"hi"


@pytest.mark.parametrize("cell", ["", "  ", "data:image/png;base64,", "a", "aGk=!", "aGk-_", "ab-+", "é"])
def test_not_base64(cell: str) -> None:
    """Nothing, half a group or a foreign character is an error: no byte is dropped in silence."""
    with pytest.raises(ImageError):
        decode_base64(cell)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_facts_come_from_the_header(tsv: Any, kind: str) -> None:
    """Digest and size are those of the bytes; an image that ends after its header has a size too."""
    content = tsv.image(9, 5, kind=kind)
    facts = image_facts(content)
    assert (facts.sha256, facts.width, facts.height) == (hashlib.sha256(content).hexdigest(), 9, 5)
    assert decode_image(content).size == (9, 5)


def test_a_cut_off_image_has_a_size_but_no_pixels(tsv: Any) -> None:
    """Only decoding finds that an image is cut off."""
    content = tsv.image(64, 64, kind="JPEG")[:-30]
    assert image_facts(content).width == 64
    with pytest.raises(ImageError, match="damaged or cut off"):
        decode_image(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_refused_by_the_header() -> None:
    """A header that promises 100,000 x 100,000 pixels is refused before any is decoded."""
    for side in (10_000, 100_000):
        header = side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
        chunk = b"IHDR" + header
        png = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        png += b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
        for read in (image_facts, decode_image):
            with pytest.raises(ImageError, match="more than 89478485 pixels"):
                read(png)


def test_formats_that_need_another_program_are_refused() -> None:
    """An EPS would make Pillow start Ghostscript."""
    with pytest.raises(ImageError, match="known formats: BMP, GIF, JPEG"):
        image_facts(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


def test_exif_orientation_is_not_applied() -> None:
    """A picture taken with the camera on its side stays on its side, as boxes refer to stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4)).save(buffer, "JPEG", exif=exif)
    assert decode_image(buffer.getvalue()).size == (8, 4)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"]))
def test_damaged_bytes_give_an_image_or_an_image_error(tsv: Any, data: st.DataObject, kind: str) -> None:
    """Whatever is broken in an image, nothing but ImageError comes out."""
    content = bytearray(tsv.image(20, 20, kind=kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    for read in (image_facts, decode_image):
        try:
            read(bytes(content))
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017  (not raising is fine too)


def test_base64_round_trip(tsv: Any) -> None:
    """What was encoded comes back."""
    assert decode_base64(base64.b64encode(tsv.image()).decode()) == tsv.image()


def test_a_cut_off_image_is_refused_whatever_a_models_code_told_pillow(
    tsv: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training code switches on that Pillow fills what is missing with grey; that must not reach a benchmark."""
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    content = tsv.image(64, 64, kind="JPEG")[:-30]
    with pytest.raises(ImageError, match="damaged or cut off"):
        decode_image(content)
