"""Images as benchmark files store them: base64 text, encoded bytes, size from the header, pixels."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from vlmprobe.errors import DamagedImageError, ImageError, in_one_line
from vlmprobe.pairs.pixels import check_header, needs_the_rule, one_color, pixel_digest, to_rgb, treatment
from vlmprobe.pairs.signatures import description_of, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

T = TypeVar("T")

__all__ = [
    "IMAGE_FORMATS",
    "MAX_JPEG_SCANS",
    "MAX_PIXELS",
    "ImageFacts",
    "decode_base64",
    "decode_image",
    "image_facts",
]

#: A larger image is rejected before it is decoded. This is Pillow's own limit, 256 MiB of RGB.
MAX_PIXELS = 178_956_970 // 2
#: Each scan of a progressive JPEG covers all pixels, however few bytes it has, so a 1 MB file with thousands
#: of scans can take minutes. Encoders write about ten.
MAX_JPEG_SCANS = 100
#: Pillow opens many more formats, some with the help of other programs (EPS runs Ghostscript).
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

#: "data:" may be missing where someone cut it off with the wrong number of characters.
_DATA_URL = re.compile(
    r"\s*(?:data:[^,;]*(?:;[^,;]*)*;|(?:data:)?image/[\w.+-]+;|data:)?base64(?:;[^,;]*)*[,:]", re.IGNORECASE
)
_URL_ALPHABET = str.maketrans("-_", "+/")
#: Characters that a cell of a spreadsheet holds at most; the rest of a longer text is lost when it is saved.
_SPREADSHEET_CELL = 32_767
#: Primaries of BT.709, curve of sRGB (ITU-T H.273).
_SRGB_CODE_POINTS = bytes((1, 13))
_ORIENTATION, _UPRIGHT = 0x0112, 1
#: A JPEG of one color has about 0.02 bytes a pixel, with the noise of a camera more; photos have 0.1 and more.
_FEWEST_BYTES_A_PIXEL = 0.06
#: Headers, color profiles, small thumbnails.
_BESIDE_PIXELS = 4096
# What Pillow's readers raise for damaged bytes; Pillow has no error class of its own for that.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known about an image when it is read: the digest of its bytes, its size in pixels, and its oddities."""

    sha256: str
    width: int
    height: int
    notes: tuple[str, ...] = ()
    """What a user should know about how it is shown to a model."""
    treated: bool = False
    """Whether its pixels are others than Pillow's conversion to RGB gives."""
    pixels: bytes | None = None
    """The digest of its RGB pixels; None where they were not decoded."""


def decode_base64(text: str) -> bytes:
    """Return the bytes of a base64 cell.

    White space, its escapes, a ``data:image/...;base64,`` prefix, missing padding, the alphabet for URLs, percent
    signs, and spaces where a form dropped the plus are fine.

    Raises:
        ImageError: the cell is empty or is not base64.
    """
    prefix = _DATA_URL.match(text)
    payload = _payload(text[prefix.end() :] if prefix else text)
    missing = -len(payload) % 4
    if missing and len(text) == _SPREADSHEET_CELL:
        raise ImageError(
            f"cut off after {len(text)} characters, all that a spreadsheet's cell holds; write a path"
        )
    if missing < 3 and "=" not in payload:
        payload += "=" * missing
    try:
        content = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"not base64 ({error})") from None
    if not content:
        raise ImageError("empty")
    return content


def _payload(text: str) -> str:
    """Return base64 in its plain form."""
    if "%" in text:
        text = unquote(text)
    payload = "".join(text.split())
    if " " in text.strip() and "+" not in payload:
        payload = _with_plus(text) or payload
    if "\\" in payload:
        payload = re.sub(r"\\[nrt]", "", payload).replace("\\/", "/")
    if ("-" in payload or "_" in payload) and not ("+" in payload or "/" in payload):
        payload = payload.translate(_URL_ALPHABET)
    payload = payload.rstrip(",;")
    bare = payload.rstrip("=")
    return bare + "=" * (-len(bare) % 4) if len(payload) - len(bare) > 2 else payload


def _with_plus(text: str) -> str | None:
    """Return base64 whose every plus a form turned into a space; None where the spaces only divide it."""
    lines = [line.strip() for line in text.split("\n")]
    if not any(" " in line for line in lines):
        return None
    pieces = [len(piece) for piece in " ".join(lines).split(" ")]
    # Text that was divided has pieces of equal length, but for the last.
    if len(lines) == 1 and len({*pieces[:-1]}) == 1 and 0 < pieces[-1] <= pieces[0] and len(pieces) > 2:
        return None
    payload = "".join(lines).replace(" ", "+")
    try:
        decode_image(base64.b64decode(payload + "=" * (-len(payload) % 4), validate=True)).close()
    except (ImageError, binascii.Error, ValueError):
        return None
    return payload


def image_facts(content: bytes, *, decode: bool = False) -> ImageFacts:
    """Read an image's size from its header and hash its bytes.

    Without ``decode``, pixels are decoded only where the decoding rule may change them, or where so few bytes are
    likely to be one color (noise that was stored without losses hides that). Whether such an image is damaged is left
    for later, as it is of all others.

    Args:
        content: the encoded image.
        decode: decode the pixels of every image, so that a damaged one is found.

    Raises:
        DamagedImageError: ``decode``, and the pixels are damaged or cut off.
        ImageError: the bytes are no image in one of ``IMAGE_FORMATS``, or have more than ``MAX_PIXELS``.
        RefusedImageError: no rule says what its pixels look like in RGB.
    """
    with warnings.catch_warnings():
        # The size is checked below, with an error that names the row.
        warnings.simplefilter("ignore")
        image = _open(content)
    with image:
        notes = _notes(image, content)
        treated = pixels = None
        if decode or needs_the_rule(image) or _may_be_one_color(image, len(content)):
            try:
                treated, plain, pixels = _loaded(image, _look)
            except DamagedImageError:
                if decode:
                    raise
            else:
                notes = (*(note for note in (treated, plain) if note), *notes)
        digest = hashlib.sha256(content).hexdigest()
        return ImageFacts(digest, image.width, image.height, notes, bool(treated), pixels)


def _look(image: Image) -> tuple[str | None, str | None, bytes]:
    shown = to_rgb(image)
    treated = treatment(image, shown) if needs_the_rule(image) else None
    return treated, one_color(shown), pixel_digest(shown)


def _may_be_one_color(image: Image, n_bytes: int) -> bool:
    """Return whether an image is stored in so few bytes that there may be nothing in it, or is not compressed."""
    if image.format not in ("JPEG", "PNG", "WEBP"):
        return True
    # Profiles, thumbnails and texts may be larger than the pixels.
    pixels = image.width * image.height
    if n_bytes >= pixels * len(image.getbands()):
        return True  # not compressed
    n_bytes -= sum(len(value) for value in image.info.values() if isinstance(value, bytes | str))
    return n_bytes < _BESIDE_PIXELS + pixels * _FEWEST_BYTES_A_PIXEL


def decode_image(content: bytes) -> Image:
    """Decode an image to RGB, by the rule of :func:`vlmprobe.pairs.pixels.to_rgb`.

    An EXIF orientation is not applied: the reference implementation feeds Pillow's pixels as they are stored,
    and the sizes and boxes that benchmarks publish refer to those. No color profile is applied either.

    Raises:
        DamagedImageError: the pixels are damaged or cut off.
        ImageError: the bytes are no image, or have more than ``MAX_PIXELS`` pixels.
        RefusedImageError: no rule says what its pixels look like in RGB.
    """
    with _open(content) as image:
        return _loaded(image, to_rgb)


def _loaded(image: Image, use: Callable[[Image], T]) -> T:
    from PIL import ImageFile
    from PIL.Image import DecompressionBombError

    # A checkpoint's own code may have enabled this for the whole process; half an image is an error here.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image.load()
        return use(image)
    except (*_DAMAGED, DecompressionBombError) as error:
        raise DamagedImageError(f"damaged or cut off ({in_one_line(error)[:120]})") from None


def _notes(image: Image, content: bytes) -> tuple[str, ...]:
    notes = []
    if (orientation := _orientation(image)) != _UPRIGHT:
        notes.append(f"EXIF orientation {orientation}, not applied")
    profile = image.info.get("icc_profile") or b""
    is_other = profile[16:20] == b"RGB " and b"sRGB" not in profile.replace(b"\0", b"")
    if is_other or (image.format == "PNG" and _has_other_code_points(content)):
        notes.append("color profile other than sRGB, not applied")
    if _has_frames(image):
        notes.append("several frames, the first is shown")
    return tuple(notes)


def _has_other_code_points(content: bytes) -> bool:
    """Return whether a PNG's chunk cICP, which Pillow skips, names other primaries or another curve than sRGB's."""
    at = 8
    while at + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        if kind == b"cICP":
            return length == 4 and content[at + 8 : at + 10] != _SRGB_CODE_POINTS
        if kind == b"IDAT":
            break
        at += 12 + length
    return False


def _has_frames(image: Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except _DAMAGED:
        return False


def _orientation(image: Image) -> int:
    # A PNG without it would be decoded to look for it behind the pixels.
    if "exif" not in image.info and image.format != "TIFF":
        return _UPRIGHT
    try:
        found = image.getexif().get(_ORIENTATION, _UPRIGHT)
    except _DAMAGED:
        return _UPRIGHT
    return found if isinstance(found, int) and 1 < found <= 8 else _UPRIGHT


def _open(content: bytes) -> Image:
    import PIL
    import PIL.Image

    try:
        image = PIL.Image.open(io.BytesIO(content), formats=IMAGE_FORMATS)
    except PIL.UnidentifiedImageError:
        what = name_of(content) or description_of(content)
        raise ImageError(f"{what}; known formats: {', '.join(IMAGE_FORMATS)}") from None
    except PIL.Image.DecompressionBombError:
        raise ImageError(f"more than {MAX_PIXELS} pixels") from None
    except _DAMAGED as error:
        raise ImageError(f"damaged header ({in_one_line(error)[:120]})") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise ImageError(f"{image.width} x {image.height} is more than {MAX_PIXELS} pixels")
    # Compressed data never holds these two bytes, embedded thumbnails have a scan or two.
    if image.format == "JPEG" and (scans := content.count(b"\xff\xda")) > MAX_JPEG_SCANS:
        image.close()
        raise ImageError(
            f"a JPEG of {scans} scans, more than {MAX_JPEG_SCANS}; save it again as a plain JPEG"
        )
    try:
        check_header(image)
    except (*_DAMAGED, ImageError) as error:
        image.close()
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"damaged header ({in_one_line(error)[:120]})") from None
    return image
