"""Images of every mode, made of one small picture, as cameras and programs write them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALPHA", "GRAY", "IMAGES", "PICTURE"]

#: Gray and RGB, 8 bits, rows by columns (by channels); of each value range something.
GRAY = (np.arange(48).reshape(6, 8) * 5 + 7).astype(np.uint8)
PICTURE = np.stack([GRAY, GRAY[::-1], 255 - GRAY], axis=-1)
#: Opaque, half and fully transparent columns.
ALPHA = np.tile(np.array([255, 255, 128, 0, 255, 64, 0, 255], np.uint8), (6, 1))
_WIDE = GRAY.astype(np.uint16) * 257
_FRACTION = GRAY.astype(np.float32) / 255


def _saved(pixels: Any, kind: str, mode: str | None = None, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def _png(depth: int, color: int, rows: list[bytes], transparent: bytes = b"") -> bytes:
    """Write a PNG of any depth, which Pillow cannot."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 8, 6, depth, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    middle = chunk(b"tRNS", transparent) if transparent else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _tiff(
    bits: int, data: bytes, photometric: int = 1, sample_format: int = 1, *, alpha: bool = False
) -> bytes:
    """Write a gray TIFF of one strip: 12 bits, white as zero, signed or premultiplied, which Pillow cannot."""
    tags = [(256, 8), (257, 6), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 6)]
    tags += [(279, len(data)), (339, sample_format)]
    if alpha:
        tags = [(tag, 2 if tag == 277 else value) for tag, value in tags if tag not in (258, 339)]
        tags = sorted([*tags, (258, bits | bits << 16), (338, 1)])
    count = {258: 2} if alpha else {}
    directory = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, count.get(tag, 1), value)
        for tag, value in tags
    )
    start = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return start + data + struct.pack("<H", len(tags)) + directory + struct.pack("<I", 0)


def _wide_color_tiff(values: Any) -> bytes:
    data = values.astype("<u2").tobytes()
    gray = _tiff(16, data, photometric=2)
    # One sample a pixel becomes three; Pillow takes the 16 bits of the first for all.
    return gray.replace(struct.pack("<HHII", 277, 3, 1, 1), struct.pack("<HHII", 277, 3, 1, 3))


def _twelve_bits() -> bytes:
    values = (GRAY.astype(int) * 4095 // 255).ravel().tolist()
    return b"".join((a << 12 | b).to_bytes(3) for a, b in zip(values[::2], values[1::2], strict=True))


def _palette(transparency: bytes | int) -> bytes:
    return _saved(Image.fromarray(PICTURE).quantize(16), "PNG", transparency=transparency)


def _premultiplied() -> bytes:
    """Gray and alpha in a TIFF, the gray multiplied by the alpha of 0 or 1."""
    return _tiff(
        8, np.dstack([GRAY * (ALPHA == 255), (ALPHA == 255) * 255]).astype(np.uint8).tobytes(), alpha=True
    )


def _four_bits() -> bytes:
    """Gray values 0, 17, 34 ...; the value 3 of 15 is transparent."""
    row = bytes([0x01, 0x23, 0x45, 0x67])
    return _png(4, 0, [row] * 6, struct.pack(">H", 3))


def _rows(pixels: Any) -> list[bytes]:
    return [row.astype(">u2").tobytes() for row in pixels.reshape(6, -1)]


_FIRST_COLOR = int(np.asarray(Image.fromarray(PICTURE).quantize(16))[0, 0])
_RGBA = np.dstack([PICTURE, ALPHA])
_LA = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA)])

#: What an image is -> its bytes.
IMAGES: dict[str, Callable[[], bytes]] = {
    # 8 bits
    "gray PNG": lambda: _saved(GRAY, "PNG"),
    "RGB PNG": lambda: _saved(PICTURE, "PNG"),
    "bilevel PNG": lambda: _saved(PICTURE, "PNG", "1"),
    "palette PNG": lambda: _saved(PICTURE, "PNG", "P"),
    "gray JPEG": lambda: _saved(GRAY, "JPEG"),
    "RGB JPEG": lambda: _saved(PICTURE, "JPEG"),
    "CMYK JPEG": lambda: _saved(PICTURE, "JPEG", "CMYK"),
    "CMYK TIFF": lambda: _saved(PICTURE, "TIFF", "CMYK"),
    "YCbCr TIFF": lambda: _saved(PICTURE, "TIFF", "YCbCr"),
    "RGB BMP": lambda: _saved(PICTURE, "BMP"),
    "RGB PPM": lambda: _saved(PICTURE, "PPM"),
    "RGB WebP": lambda: _saved(PICTURE, "WEBP", lossless=True),
    "opaque GIF": lambda: _saved(PICTURE, "GIF", "P"),
    "opaque RGBA PNG": lambda: _saved(PICTURE, "PNG", "RGBA"),
    # transparency
    "RGBA PNG": lambda: _saved(_RGBA, "PNG"),
    "LA PNG": lambda: _saved(_LA, "PNG"),
    "RGBA WebP": lambda: _saved(_RGBA, "WEBP", lossless=True, exact=True),
    "premultiplied LA TIFF": _premultiplied,
    "RGBA TIFF": lambda: _saved(_RGBA, "TIFF"),
    "LA TIFF": lambda: _saved(_LA, "TIFF"),
    "32-bit BMP, its fourth byte unused": lambda: _saved(_RGBA, "BMP"),
    "palette PNG, one color transparent": lambda: _palette(_FIRST_COLOR),
    "palette PNG, alpha by color": lambda: _palette(bytes(range(0, 256, 16))),
    "gray PNG, a value transparent": lambda: _saved(GRAY, "PNG", transparency=int(GRAY[2, 3])),
    "RGB PNG, a color transparent": lambda: _saved(
        PICTURE, "PNG", transparency=tuple(map(int, PICTURE[2, 3]))
    ),
    "bilevel PNG, black transparent": lambda: _saved(PICTURE, "PNG", "1", transparency=0),
    "transparent GIF": lambda: _saved(
        PICTURE, "GIF", "P", transparency=int(np.asarray(Image.fromarray(PICTURE).convert("P"))[0, 0])
    ),
    "4-bit gray PNG, a value transparent": _four_bits,
    "16-bit RGBA PNG": lambda: _png(16, 6, _rows(_RGBA.astype(np.uint16) * 257)),
    "16-bit LA PNG": lambda: _png(16, 4, _rows(np.dstack([GRAY, ALPHA]).astype(np.uint16) * 257)),
    "16-bit gray PNG, a value transparent": lambda: _png(
        16, 0, _rows(_WIDE), struct.pack(">H", int(_WIDE[2, 3]))
    ),
    # more than 8 bits
    "16-bit gray PNG": lambda: _saved(_WIDE, "PNG"),
    "16-bit gray TIFF": lambda: _saved(_WIDE, "TIFF"),
    "16-bit gray TIFF, big-endian": lambda: _saved(
        Image.frombytes("I;16B", (8, 6), _WIDE.astype(">u2").tobytes()), "TIFF"
    ),
    "16-bit gray TIFF, white is zero": lambda: _tiff(
        16, (65535 - _WIDE).astype("<u2").tobytes(), photometric=0
    ),
    "12-bit gray TIFF": lambda: _tiff(12, _twelve_bits()),
    "16-bit PGM": lambda: b"P5 8 6 65535\n" + _WIDE.astype(">u2").tobytes(),
    "16-bit PGM as text": lambda: (
        b"P2 8 6 65535\n" + b" ".join(b"%d" % value for value in _WIDE.ravel().tolist())
    ),
    "10-bit PGM": lambda: b"P5 8 6 1020\n" + (GRAY.astype(">u2") * 4).astype(">u2").tobytes(),
    "16-bit RGB PNG": lambda: _png(16, 2, _rows(PICTURE.astype(np.uint16) * 257)),
    "16-bit gray PNG, dark": lambda: _saved((GRAY // 16).astype(np.uint16) * 257, "PNG"),
    "16-bit RGB PNG, dark": lambda: _png(16, 2, _rows((PICTURE // 16).astype(np.uint16) * 257)),
    "16-bit RGB TIFF, dark": lambda: _wide_color_tiff((PICTURE // 16).astype(np.uint16) * 257),
    # no known look
    "12 bits in 16-bit RGB PNG": lambda: _png(16, 2, _rows(PICTURE.astype(np.uint16) * 16)),
    "12 bits in 16-bit RGBA PNG": lambda: _png(
        16, 6, _rows(np.dstack([PICTURE.astype(np.uint16) * 16, np.full_like(_WIDE, 65535)]))
    ),
    "12 bits in 16-bit RGB TIFF": lambda: _wide_color_tiff(PICTURE.astype(np.uint16) * 16),
    "depth in millimeters": lambda: _saved(GRAY.astype(np.uint16) * 16, "PNG"),
    "32-bit TIFF": lambda: _saved(Image.fromarray(GRAY.astype(np.int32) * 257, "I"), "TIFF"),
    "float TIFF": lambda: _saved(_FRACTION, "TIFF"),
    "float PFM": lambda: b"Pf\n8 6\n-1.0\n" + _FRACTION.astype("<f4").tobytes(),
    "signed 16-bit TIFF": lambda: _tiff(16, (_WIDE // 2).astype("<i2").tobytes(), sample_format=2),
    "LAB TIFF": lambda: _saved(Image.frombytes("LAB", (8, 6), PICTURE.tobytes()), "TIFF"),
    "16-bit RGB PNG, a color transparent": lambda: _png(
        16, 2, _rows(PICTURE.astype(np.uint16) * 257), b"\0\1" * 3
    ),
    "RGBA PNG, nothing opaque": lambda: _saved(np.dstack([PICTURE, ALPHA * 0]), "PNG"),
    "palette PNG, nothing opaque": lambda: _palette(bytes(16)),
}
