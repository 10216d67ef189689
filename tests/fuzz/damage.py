"""Ways in which bytes go wrong: bits, cuts, repeats, other files' pieces. The same seed damages the same way."""

from __future__ import annotations

import base64
import io
import random
import struct
from functools import cache

from hypothesis import strategies as st
from PIL import Image

__all__ = ["IMAGE_KINDS", "damaged", "hostile_text", "image", "image_base64", "seeds"]

IMAGE_KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

#: What a damaged file is made from: a hypothesis failure names the seed, which repeats it.
seeds = st.integers(0, 2**63)

_PIECES = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"\r\n",
        b"\t",
        b'"',
        b"'",
        b"\\",
        b"\x1b[2J",
    ),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"=",
        b"#",
        b",",
        b"-1",
        b"1e999",
        b"NaN",
        b"null",
    ),
    *(
        b"9" * 5000,
        b"\xed\xa0\x80",
        b"\\ud800",
        b"../../",
        b"~nobody/",
        b"a" * 70_000,
        b" " * 5000,
    ),
    *(struct.pack("<Q", 2**64 - 1), struct.pack("<I", 2**31), struct.pack(">I", 2**32 - 1), b"\xff\xda" * 40),
)

_HOSTILE = (
    *(
        "",
        " ",
        "\0",
        "\t",
        "\n",
        "\r\n",
        '"',
        "'",
        '""',
        "nan",
        "NaN",
        "None",
        "NA",
        "inf",
        "-0",
        "1e999",
        "true",
    ),
    *(
        "..",
        "../../x",
        "/etc/passwd",
        "C:\\x",
        "con",
        "a/b",
        ".",
        "~",
        "~nobody/x",
        "\u202etxt",
        "\ufeff",
        "\ud7ff",
    ),
    *(
        "<script>alert(1)</script>",
        "=cmd|'/c calc'!A0",
        "{{7*7}}",
        "${HOME}",
        "%s%n",
        "'; DROP TABLE runs; --",
    ),
    *("\x1b[2J\x1b]0;x\x07", "é" * 50, "\U0001f600" * 30, "9" * 5000, "unknown", "the ", "A", "left", "far"),
    *(
        "İ" * 20,
        "nearly",
        "x" * 20_000,
        " " * 4000,
        "of a and " * 2000,
        "how are" + " " * 4000,
        "how are a and " * 900,
    ),
)

#: Text as users, models and attackers write it.
hostile_text = st.one_of(st.sampled_from(_HOSTILE), st.text(max_size=30))


def damaged(content: bytes, seed: int, most: int = 4) -> bytes:
    """Return content with up to ``most`` things wrong; one time in twenty nothing is."""
    random_ = random.Random(seed)
    changed = bytearray(content)
    for _ in range(random_.randrange(most + 1) if random_.random() > 0.05 else 0):
        at = random_.randrange(len(changed) + 1)
        length = random_.choice((1, 1, 2, 4, 16, 200, len(changed)))
        match random_.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << random_.randrange(8)
            case 1:
                changed[at : at + length] = random_.randbytes(min(length, 40))
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[at : at + min(length, 200)] * random_.choice((1, 2, 50))
            case 5:
                changed[at:at] = random_.choice(_PIECES)
            case _:
                changed[at : at + 4] = random_.choice(_PIECES)[:4]
    return bytes(changed)


@cache
def image(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (12, 9)) -> bytes:
    """Return a small encoded image."""
    buffer = io.BytesIO()
    more = {"progressive": True} if kind == "JPEG" else {}
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, kind, **more)
    return buffer.getvalue()


def image_base64(kind: str = "PNG") -> str:
    """Return a small image as a file carries it."""
    return base64.b64encode(image(kind)).decode()
