"""The one rule by which stored pixels become what a model sees: 8-bit RGB. docs/data.md states it for users.

Pillow alone clips wide gray to white and shows the hidden color of transparent pixels.
"""

from __future__ import annotations

import hashlib
import io
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from vlmprobe.errors import RefusedImageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "DECODING_VERSION",
    "ONE_COLOR",
    "check_header",
    "needs_the_rule",
    "one_color",
    "pixel_digest",
    "to_rgb",
    "treatment",
]

#: How the note begins about an image in which nothing can be seen.
ONE_COLOR = "nearly one color"
#: Of 255: an image whose values are no farther apart in any channel looks like one color, also as a JPEG.
_ONE_COLOR_SPAN = 4
#: The share of pixels that may differ: a stray pixel, a watermark.
_STRAY_SHARE = 0.001
#: Pixels that are hashed at a time. Larger copies take longer than the hash: the system hands out their memory anew.
_STRIP = 2**14

#: Part of the identity of runs whose pixels this rule changes. Increment it when the same image gives other pixels.
DECODING_VERSION = 2

#: Modes that Pillow converts to RGB without losing what they show.
_PLAIN = frozenset(("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"))
_ALPHA = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
_WHY_REFUSED = {
    "I": "32-bit or signed gray, in which no value is known to be white; save it as 8-bit or 16-bit gray",
    "F": "gray in floating point, in which no value is known to be white; save it as 8-bit or 16-bit gray",
}
#: Darker than this after scaling, a wide gray image hardly uses its range: depth in millimeters, 12 bits in 16.
_DARK = 64
#: What a value of 8 bits is multiplied by to fill 16.
_STEP = 257
#: How Pillow names the order of the two bytes of a value, and the name under which it reads the other byte.
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
#: Where an opened image of wide color keeps its file: once it is loaded, only the high bytes are left.
_WIDE_COLOR = "vlmprobe_wide_color"
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2


def check_header(image: Image) -> None:
    """Refuse an image that has no known look in RGB, by its header; correct what Pillow reads wrongly from it.

    Args:
        image: opened, not yet loaded.

    Raises:
        RefusedImageError: its mode, or a part of it, is one that the rule does not know.
    """
    mode = image.mode
    if not (mode in _PLAIN or mode in _ALPHA or _is_wide_gray(image)):
        why = _WHY_REFUSED.get(mode, "colors that are not read; save it as RGB")
        raise RefusedImageError(f"mode {mode}: {why}")
    if image.format == "TIFF" and _SIGNED in _tag(image, _SAMPLE_FORMAT):
        raise RefusedImageError(f"mode {mode}: signed values; save it as 8-bit gray or RGB")
    _correct_transparent_value(image)
    if _raw_mode(image).startswith(("RGB;16", "RGBA;16", "RGBX;16")):
        image.info[_WIDE_COLOR] = getattr(image, "fp", None)


def needs_the_rule(image: Image) -> bool:
    """Return whether this rule may show other pixels than Pillow's conversion to RGB, by the header."""
    return _is_wide_gray(image) or _has_alpha(image) or _WIDE_COLOR in image.info


def treatment(image: Image, shown: Image) -> str | None:
    """Return what the rule does to the pixels of a loaded image; None if they are those of Pillow's conversion.

    Args:
        image: as it is stored.
        shown: what :func:`to_rgb` makes of it.
    """
    if _is_wide_gray(image):
        note, theirs = "wide gray, scaled to 8 bits", image.convert("RGB")
    elif not _has_alpha(image):
        return None
    else:
        note, theirs = "transparency, shown on white", _layer(image).convert("RGB")
    return note if shown.tobytes() != theirs.tobytes() else None


def one_color(shown: Image) -> str | None:
    """Return what to note of an RGB image in which nothing can be seen; None if there is something.

    All but one pixel in a thousand have values that are at most 4 of 255 apart in each channel.
    """
    counts = shown.histogram()
    allowed = int(shown.width * shown.height * _STRAY_SHARE)
    values = []
    for start in (0, 256, 512):
        value = _common_value(counts[start : start + 256], allowed)
        if value is None:
            return None
        values.append(value)
    near = _ONE_COLOR_SPAN
    if min(values) >= 255 - near:
        return f"{ONE_COLOR}, white"
    return f"{ONE_COLOR}, black" if max(values) <= near else f"{ONE_COLOR}, #{bytes(values).hex()}"


def _common_value(counts: list[int], allowed: int) -> int | None:
    """Return the commonest of the few values that all but some pixels have; None if these have more."""
    most, total = max(range(256), key=counts.__getitem__), sum(counts)
    for first in range(max(most - _ONE_COLOR_SPAN, 0), most + 1):
        if total - sum(counts[first : first + _ONE_COLOR_SPAN + 1]) <= allowed:
            return most
    return None


def pixel_digest(shown: Image) -> bytes:
    """Return 32 bytes that are equal for RGB images of equal size and pixels, however they were encoded.

    An image that was saved with losses has other pixels, so it is another picture here.
    """
    digest = hashlib.sha256(f"{shown.width} x {shown.height}".encode())
    step = max(_STRIP // shown.width, 1)
    for top in range(0, shown.height, step):
        strip = shown.crop((0, top, shown.width, min(top + step, shown.height)))
        digest.update(strip.tobytes())
    return digest.digest()


def to_rgb(image: Image) -> Image:
    """Return a loaded image as 8-bit RGB.

    Transparent pixels are composited on white, as the processors of transformers do. Gray of more than 8 bits is
    scaled by its declared range and rounded: 16 bits by 1/257, so that a copy of an 8-bit picture has its values.
    The rest is Pillow's conversion.

    Raises:
        RefusedImageError: nothing of the image would be seen.
    """
    if _is_wide_gray(image):
        return _gray(image).convert("RGB")
    if _WIDE_COLOR in image.info:
        _check_wide_color(image)
    return _on_white(image) if _has_alpha(image) else image.convert("RGB")


def _is_wide_gray(image: Image) -> bool:
    # Pillow opens 16-bit gray of PPM, and in some versions of PNG, as "I" and fills its range; of TIFF that is 32 bits.
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))


def _has_alpha(image: Image) -> bool:
    return image.mode in _ALPHA or image.info.get("transparency") is not None


def _layer(image: Image) -> Image:
    # Pillow cannot do this in one step for gray that is premultiplied with its transparency.
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _on_white(image: Image) -> Image:
    import PIL.Image

    layer = _layer(image)
    if layer.getchannel("A").getextrema()[1] == 0:
        raise RefusedImageError(f"mode {image.mode}: transparent everywhere; save it without transparency")
    white = PIL.Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return PIL.Image.alpha_composite(white, layer).convert("RGB")


def _gray(image: Image) -> Image:
    top = 2 ** int(_tag(image, _BITS)[0]) - 1 if image.format == "TIFF" and _tag(image, _BITS) else 2**16 - 1
    # Pillow inverts gray of 8 bits where zero is white, but not of 16.
    inverted = image.format == "TIFF" and _tag(image, _PHOTOMETRIC) == (_WHITE_IS_ZERO,)
    wide = image if image.mode == "I" else image.convert("I")
    gray = wide.point(_table(top, inverted), "L")
    brightest = cast("float", gray.getextrema()[1])
    if brightest < _DARK and not _is_copy_of_8_bits(gray, wide, top, inverted=inverted):
        raise RefusedImageError(
            f"mode {image.mode}: gray whose values use less than a quarter of 0 to {top}, so nearly black in 8 bits; "
            "save it as 8-bit gray as it should look"
        )
    key = image.info.get("transparency")
    return gray if key is None else wide.point(_table(top, inverted, key), "L")


@cache
def _table(top: int, inverted: bool, key: int | None = None) -> list[int]:
    scaled = [min(round(value * 255 / top), 255) for value in range(2**16)]
    if inverted:
        scaled = [255 - value for value in scaled]
    if key is not None:
        scaled[key] = 255
    return scaled


def _is_copy_of_8_bits(gray: Image, wide: Image, top: int, *, inverted: bool) -> bool:
    """Return whether every value is one of 8 bits spread over 16: then a dark picture is meant to be dark."""
    values = gray.point([255 - value for value in range(256)]) if inverted else gray
    spread = values.convert("I").point(lambda value: value * _STEP)
    return top == 2**16 - 1 and spread.tobytes() == wide.tobytes()


def _check_wide_color(image: Image) -> None:
    """Refuse color of 16 bits of which little would be seen, by the rule for gray; Pillow keeps the high bytes."""
    colors = image.convert("RGB")
    brightest = max(cast("tuple[int, int]", band.getextrema())[1] for band in colors.split())
    if brightest < _DARK and not _has_equal_bytes(image):
        raise RefusedImageError(
            f"mode {image.mode}: color of 16 bits whose values use less than a quarter of 0 to {2**16 - 1}, so nearly "
            "black in 8 bits; save it with 8 bits a channel as it should look"
        )


def _has_equal_bytes(image: Image) -> bool:
    """Return whether the low byte of every value is its high byte, as in a copy of a picture of 8 bits."""
    import PIL.Image

    with PIL.Image.open(io.BytesIO(image.info[_WIDE_COLOR].getvalue())) as again:
        opened: Any = again
        tiles: list[Any] = []
        for tile in opened.tile:
            args = tile[3]
            raw = args if isinstance(args, str) else args[0]
            other = raw[:-1] + _OTHER_BYTE[raw[-1]]
            parts = (*tile[:3], other if isinstance(args, str) else (other, *args[1:]))
            tiles.append(tile._make(parts) if hasattr(tile, "_make") else parts)
        opened.tile = tiles
        again.load()
        return again.tobytes() == image.tobytes()


def _raw_mode(image: Image) -> str:
    """Return Pillow's name of how an image that is not loaded stores its pixels; empty if it has none."""
    tiles = getattr(image, "tile", ())
    args = tiles[0][3] if tiles else ""
    return str(args[0] if isinstance(args, tuple | list) and args else args)


def _correct_transparent_value(image: Image) -> None:
    """Scale the gray value that a PNG of 2 or 4 bits calls transparent as Pillow scales its pixels."""
    tiles = getattr(image, "tile", ())
    if image.format != "PNG" or "transparency" not in image.info or not tiles:
        return
    stored_as = str(tiles[0][3])
    if stored_as in ("L;2", "L;4"):
        image.info["transparency"] *= 255 // (2 ** int(stored_as[2:]) - 1)
    elif stored_as.startswith("RGB;16"):
        # Its pixels are cut to 8 bits before they are compared, so others would match too.
        raise RefusedImageError("mode RGB: a transparent color of 16 bits; save it with 8 bits a channel")


def _tag(image: Image, number: int) -> tuple[Any, ...]:
    found = getattr(image, "tag_v2", {}).get(number, ())
    return found if isinstance(found, tuple) else (found,)
