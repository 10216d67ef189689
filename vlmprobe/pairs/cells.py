"""What a cell of a table holds: an image, the path of one, the index of a row that has one, or something else."""

from __future__ import annotations

import codecs
import re

from vlmprobe.errors import ImageError
from vlmprobe.pairs.images import decode_base64
from vlmprobe.pairs.signatures import is_known_image, name_of

__all__ = ["inline_image", "is_plain", "kind_of", "may_be_index", "named_file"]

#: A longer cell is no index: VLMEvalKit's rule.
_MAX_REFERENCE = 64
_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
#: How Python and JSON write a list of one text, bytes, or a text in quotes.
_WRAPPED = re.compile(r"""\A\s*(\[?)\s*(b?)(["'])(.*)\3\s*(\]?)\s*\Z""", re.DOTALL)
_PNG_IN_HEX = "89504e470d0a1a0a"
_KINDS = {
    dict: "an object",
    list: "a list",
    tuple: "a list",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def kind_of(cell: object) -> str:
    """Return what a cell holds, for a message."""
    return _KINDS.get(type(cell), type(cell).__name__)


def named_file(cell: object) -> str | None:
    """Return the path in a cell that names an image file; None if the cell should hold the image itself.

    A text with a dot is a path, since base64 has no dot; ``./photo`` names a file without an ending. Data URLs
    and addresses are no paths. Of ``{bytes, path}`` the path counts where there are no bytes.
    """
    cell = _unwrapped(cell)
    if isinstance(cell, dict):
        path = cell.get("path")
        return path if cell.get("bytes") is None and isinstance(path, str) and path else None
    # A text in braces or angle brackets is what Python prints of an object.
    if isinstance(cell, str) and "." in cell and cell.lstrip()[:1] not in {"{", "<", "["}:
        return None if _DATA_URL.match(cell) or _ADDRESS.match(cell) else cell.strip()
    return None


def inline_image(cell: object) -> bytes:
    """Return the image that a cell holds: bytes, base64 text, a data URL, or one of these as ``{bytes, path}``.

    A list of one, and what Python prints of bytes or of such a list, are read as what is in them.

    Raises:
        ImageError: it holds none; the message says what it holds.
    """
    held = _unwrapped(cell)
    if isinstance(held, dict):
        held = _unwrapped(held.get("bytes"))
    if held is None or held in (b"", ""):
        raise ImageError("empty")
    if isinstance(held, bytes):
        return _of_bytes(held)
    if isinstance(held, list | tuple):
        raise ImageError(f"a list of {len(held)}, not one image; write one image a row")
    if not isinstance(held, str):
        raise ImageError(f"{kind_of(held)}; use a path, base64, bytes or {{bytes, path}}")
    return _of_text(held)


def may_be_index(cell: object) -> bool:
    """Return whether a cell is short enough to be another row's index, and holds no image itself."""
    cell = _unwrapped(cell)
    if not isinstance(cell, str) or not 0 < len(cell.strip()) <= _MAX_REFERENCE:
        return False
    try:
        return not is_known_image(decode_base64(cell))
    except ImageError:
        return True


def is_plain(cell: object) -> bool:
    """Return whether a cell with an image is of the plain kinds, to which others were added later.

    Plain are bytes, padded base64 with or without a data URL's prefix, ``{bytes, path}`` and paths. A dataset that
    needs the others has another id than one whose rows were problems for them.
    """
    if isinstance(cell, dict):
        cell = cell.get("path") if cell.get("bytes") is None else cell["bytes"]
    if isinstance(cell, bytes):
        return is_known_image(cell)
    if named_file(cell) is not None:
        return True  # the id covers images in files of their own by their hashes
    if not isinstance(cell, str) or _unwrapped(cell) is not cell or may_be_index(cell):
        return False
    bare = "".join(cell.partition(",")[2].split() if _DATA_URL.match(cell) else cell.split())
    return len(bare) % 4 == 0 and not any(mark in bare for mark in "-_\\")


def _unwrapped(cell: object) -> object:
    """Return what a list of one holds, or what Python or JSON printed: ``['...']``, ``b'...'``, ``"..."``."""
    while isinstance(cell, list | tuple) and len(cell) == 1:
        cell = cell[0]
    if not isinstance(cell, str) or cell.strip()[-1:] not in {"'", '"', "]"}:
        return cell
    found = _WRAPPED.match(cell)
    if found is None or bool(found[1]) != bool(found[5]):
        return cell
    _, is_bytes, quote, inner, _ = found.groups()
    if re.search(rf"(?<!\\){quote}", inner):
        return cell  # several texts
    if not is_bytes:
        return inner
    try:
        content, _ = codecs.escape_decode(inner.encode("latin-1"))
    except ValueError:
        return cell
    return content


def _of_bytes(held: bytes) -> bytes:
    if is_known_image(held):
        return held
    try:
        # Base64 that was stored as bytes.
        content = decode_base64(held.decode("ascii"))
    except (ImageError, UnicodeDecodeError):
        return held
    return content if is_known_image(content) else held


def _of_text(text: str) -> bytes:
    bare = text.strip()
    if _ADDRESS.match(text):
        raise ImageError(
            f"an address ({bare[:60]}), which is not downloaded; save the image and write its path"
        )
    if bare[:1] in {"[", "{", "<", "("}:
        raise ImageError(
            f"an object of Python as text ({bare[:40]!r}); write the image as base64 or its path"
        )
    if bare.lower() in {"nan", "none", "null", "n/a", "na", "<na>"}:
        raise ImageError(f"empty ({bare!r})")
    if bare[: len(_PNG_IN_HEX)].lower() == _PNG_IN_HEX:
        raise ImageError("hexadecimal; write the image as base64")
    if _DATA_URL.match(text) and ";base64," not in text[:200].lower():
        raise ImageError("a data URL that is not base64; write the image as base64")
    if "=" in bare or _DATA_URL.match(text) or not may_be_index(text) or _can_be_named(text):
        return decode_base64(text)
    raise ImageError(
        f"not base64, no path with a dot and no row's index: {bare[:40]!r}; write ./ before a path without a dot"
    )


def _can_be_named(text: str) -> bool:
    """Return whether a short text is base64 of something that has a name, though it is no image."""
    try:
        return name_of(decode_base64(text)) is not None
    except ImageError:
        return False
