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
from typing import TYPE_CHECKING

from vlmprobe.errors import ImageError, in_one_line

if TYPE_CHECKING:
    from PIL.Image import Image

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

_DATA_URL = re.compile(r"\s*data:[^,;]*(?:;[^,;]*)*;base64,", re.IGNORECASE)
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
    """What is known about an image without decoding it: the digest of its bytes and its size in pixels."""

    sha256: str
    width: int
    height: int


def decode_base64(text: str) -> bytes:
    """Return the bytes of a base64 cell; white space and a ``data:image/...;base64,`` prefix are fine.

    Raises:
        ImageError: the cell is empty or is not base64.
    """
    prefix = _DATA_URL.match(text)
    payload = text[prefix.end() :] if prefix else text
    try:
        content = base64.b64decode("".join(payload.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"not base64 ({error})") from None
    if not content:
        raise ImageError("empty")
    return content


def image_facts(content: bytes) -> ImageFacts:
    """Read an image's size from its header and hash its bytes; no pixel is decoded.

    Raises:
        ImageError: the bytes are no image in one of ``IMAGE_FORMATS``, or have more than ``MAX_PIXELS``.
    """
    with warnings.catch_warnings():
        # The size is checked below, with an error that names the row.
        warnings.simplefilter("ignore")
        image = _open(content)
    with image:
        return ImageFacts(hashlib.sha256(content).hexdigest(), image.width, image.height)


def decode_image(content: bytes) -> Image:
    """Decode an image to RGB.

    An EXIF orientation is not applied: the reference implementation feeds Pillow's pixels as they are stored,
    and the sizes and boxes that benchmarks publish refer to those.

    Raises:
        ImageError: the bytes are no image, are damaged or cut off, or have more than ``MAX_PIXELS`` pixels.
    """
    from PIL import ImageFile
    from PIL.Image import DecompressionBombError

    # A checkpoint's own code may have enabled this for the whole process; half an image is an error here.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with _open(content) as image:
        try:
            return image.convert("RGB")
        except (*_DAMAGED, DecompressionBombError) as error:
            raise ImageError(f"damaged or cut off ({in_one_line(error)[:120]})") from None


def _open(content: bytes) -> Image:
    import PIL
    import PIL.Image

    try:
        image = PIL.Image.open(io.BytesIO(content), formats=IMAGE_FORMATS)
    except PIL.UnidentifiedImageError:
        raise ImageError(f"not a readable image; known formats: {', '.join(IMAGE_FORMATS)}") from None
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
    return image
