"""Results in a home's cache, which can be computed again: a file each, with all that the result rests on."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vlmprobe.paths import can_write
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["keep", "read_kept"]


def read_kept(path: Path, basis: Mapping[str, Any]) -> Any | None:
    """Return what is kept in a file; None if it rests on anything else, or the file is damaged or not there.

    Args:
        path: the file.
        basis: what the result has to rest on, of JSON's own kinds.
    """
    try:
        mark, _, text = path.read_text("utf-8").partition("\n")
        if mark != _mark(text):
            return None
        held = json.loads(text)
    except (OSError, ValueError):
        return None
    # As text, since NaN equals NaN there.
    return held["value"] if _text(held["basis"]) == _text(basis) else None


def keep(path: Path, basis: Mapping[str, Any], value: Any) -> None:
    """Keep a result in place of what the file has; where it cannot be written, it will be computed again.

    Args:
        path: the file; its folder is created.
        basis: what the result rests on, of JSON's own kinds.
        value: of JSON's own kinds; floats keep every bit.
    """
    if not can_write(path.parent):
        return
    text = json.dumps({"basis": basis, "value": value})
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(f"{_mark(text)}\n{text}", "utf-8")


def _text(basis: Mapping[str, Any]) -> str:
    return json.dumps(basis, sort_keys=True)


def _mark(text: str) -> str:
    """Return what stands before the text, so that a changed digit is noticed."""
    return hashlib.sha256(text.encode()).hexdigest()
