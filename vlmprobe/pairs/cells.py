"""What a cell of a table holds: an image, the path of one, the index of a row that has one, or something else."""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_to_bytes

from vlmprobe.errors import ImageError
from vlmprobe.pairs.images import decode_base64
from vlmprobe.pairs.signatures import is_known_image, name_of
from vlmprobe.pairs.wrappings import unwrapped, visible

__all__ = ["inline_image", "is_plain", "kind_of", "may_be_index", "named_file"]

#: A longer cell is no index: VLMEvalKit's rule.
_MAX_REFERENCE = 64
_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)
#: One letter is a drive of Windows.
_ADDRESS = re.compile(
    r"\s*(?:[a-z][a-z0-9+.-]+://|www\.[^/\s]+/|(?:about|attachment|blob|cid|javascript|mailto):)",
    re.IGNORECASE,
)
#: How base64 of an image begins, where it was printed and not written.
_SHORTENED = re.compile(r"(?:data:[^,]*,)?(?:iVBOR|/9j/|R0lG|UklG|Qk)[\w+/=\s]*(?:\.{2,}|\u2026)")
_PRINTED = re.compile(r"=\s*[\w.]+\(|[A-Za-z_][\w.]*\(\s*\[")
_FILE_URL = re.compile(r"\s*file:(?://(?:localhost)?(?=/))?", re.IGNORECASE)
#: The first bytes of an image in hexadecimal, and what databases write before them.
_HEXADECIMAL = re.compile(
    r"(?:\\x|0x|x')?(?:89504e47|ffd8ff|47494638|52494646|424d)[0-9a-f]{16,}'?", re.IGNORECASE
)
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
    cell = unwrapped(cell)
    if isinstance(cell, dict):
        path = cell.get("path")
        is_path = not cell.get("bytes") and isinstance(path, str) and bool(path) and not _is_url(path)
        return path if is_path else None
    # A text in braces or angle brackets is what Python prints of an object.
    if isinstance(cell, str) and "." in cell and cell.lstrip()[:1] not in {"{", "<", "[", "("}:
        text = visible(cell)
        return None if _is_url(text) or _SHORTENED.match(text) or _PRINTED.match(text) else text
    return None


def _is_url(text: str) -> bool:
    return any(pattern.match(text) for pattern in (_DATA_URL, _ADDRESS, _FILE_URL))


def inline_image(cell: object) -> bytes:
    """Return the image that a cell holds: bytes, base64 text, a data URL, or one of these as ``{bytes, path}``.

    A list of one, and what Python prints of bytes or of such a list, are read as what is in them.

    Raises:
        ImageError: it holds none; the message says what it holds.
    """
    held = unwrapped(cell)
    if isinstance(held, dict):
        if held and not {"bytes", "path"} & held.keys():
            keys = ", ".join(map(str, held))[:60]
            raise ImageError(f"an object with the keys {keys}; use {{bytes, path}}")
        held = unwrapped(held.get("bytes") or held.get("path"))
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
    cell = unwrapped(cell)
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
    if not isinstance(cell, str) or unwrapped(cell) is not cell or may_be_index(cell):
        return False
    if _DATA_URL.match(cell) and ";base64," not in cell[:200].lower():
        return False
    bare = "".join(cell.partition(",")[2].split() if _DATA_URL.match(cell) else cell.split())
    if len(bare) % 4 or any(mark in bare for mark in "-_\\%,;\ufeff\u200b"):
        return False
    # Spaces that only divide it, and stand for no plus.
    return " " not in cell.strip() or decode_base64(cell) == decode_base64(bare)


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
    bare = visible(text)
    if why := _what_it_is(bare):
        raise ImageError(why)
    if _DATA_URL.match(bare) and "base64" not in bare[:200].partition(",")[0].lower():
        return _of_plain_data_url(bare)
    if "=" in bare or _DATA_URL.match(bare) or not may_be_index(text) or _can_be_named(text):
        return decode_base64(bare)
    if "\\" in bare:
        raise ImageError(f"a path as Windows writes it ({bare[:60]}); write it with / and with ./ before it")
    raise ImageError(
        f"not base64, no path with a dot and no row's index: {bare[:40]!r}; write ./ before a path without a dot"
    )


def _what_it_is(bare: str) -> str | None:
    """Return what a text is that is certainly no image, and what to do."""
    if _FILE_URL.match(bare):
        path = unquote(_FILE_URL.sub("", bare, count=1))
        return f"a file URL ({bare[:60]}); write the path itself, {path[:60]}"
    if _ADDRESS.match(bare):
        return f"an address ({bare[:60]}), which is not downloaded; save the image and write its path"
    # The pattern alone would go through all of an image, and back.
    if (".." in bare or "\u2026" in bare) and _SHORTENED.match(bare):
        return f"base64 that was cut off where it was printed ({bare[:20]!r}); write all of it"
    if bare[:1] == "=" and _PRINTED.match(bare):
        return f"a formula of a spreadsheet ({bare[:40]!r}); write the image's path"
    if bare[:4].lower() in {"<img", "<svg", "<htm", "<!do", "<?xm"}:
        return f"markup ({bare[:40]!r}) without one image in it; write the image as base64 or its path"
    if bare[:1] in {"[", "{", "<", "("} or _PRINTED.match(bare):
        return f"an object of Python as text ({bare[:40]!r}); write the image as base64 or its path"
    if bare.lower() in {"nan", "none", "null", "n/a", "na", "<na>"}:
        return f"empty ({bare!r})"
    if _HEXADECIMAL.match(bare):
        return "hexadecimal; write the image as base64"
    return None


def _of_plain_data_url(url: str) -> bytes:
    """Return the image in a data URL whose bytes are percent-encoded."""
    content = unquote_to_bytes(url.partition(",")[2])
    if is_known_image(content):
        return content
    what = name_of(content)
    raise ImageError(
        f"a data URL that is not base64{f' ({what})' if what else ''}; write the image as base64"
    )


def _can_be_named(text: str) -> bool:
    """Return whether a short text is base64 of something that has a name, though it is no image."""
    try:
        return name_of(decode_base64(text)) is not None
    except ImageError:
        return False
