"""What a cell of a table holds: an image, the path of one, or something else."""

from __future__ import annotations

import re

from vlmprobe.errors import ImageError
from vlmprobe.pairs.images import decode_base64

__all__ = ["inline_image", "kind_of", "named_file"]

_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)
_KINDS = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}


def kind_of(cell: object) -> str:
    """Return what a cell holds, for a message."""
    return _KINDS.get(type(cell), type(cell).__name__)


def named_file(cell: object) -> str | None:
    """Return the path in a cell that names an image file; None if the cell should hold the image itself.

    A text with a dot is a path, since base64 has no dot; ``./photo`` names a file without an ending. Data URLs
    are no paths. Of ``{bytes, path}`` the path counts where there are no bytes.
    """
    if isinstance(cell, dict):
        path = cell.get("path")
        return path if cell.get("bytes") is None and isinstance(path, str) and path else None
    if isinstance(cell, str) and "." in cell and not _DATA_URL.match(cell):
        return cell.strip()
    return None


def inline_image(cell: object) -> bytes:
    """Return the image that a cell holds: bytes, base64 text, a data URL, or one of these as ``{bytes, path}``.

    Raises:
        ImageError: it holds none.
    """
    held = cell.get("bytes") if isinstance(cell, dict) else cell
    if isinstance(held, bytes) and held:
        return held
    if held is None or held in (b"", ""):
        raise ImageError("empty")
    if not isinstance(held, str):
        raise ImageError(f"{kind_of(held)}; use a path, base64, bytes or {{bytes, path}}")
    return decode_base64(held)
