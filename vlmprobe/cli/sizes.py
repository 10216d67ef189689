"""Sizes of memory as people write them: 1GiB, 500 MB."""

from __future__ import annotations

import re

from vlmprobe.errors import UsageError

__all__ = ["size_in_bytes"]

_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)


def size_in_bytes(text: str, option: str) -> int:
    """Read a size with its unit.

    Args:
        text: such as ``1GiB``.
        option: whose value it is, for the message.

    Raises:
        UsageError: it is no size, or none at all.
    """
    found = _SIZE.fullmatch(text)
    unit = _UNITS.get(found[2].lower()) if found else None
    size = 0 if found is None or unit is None else int(float(found[1]) * unit)
    if size < 1:
        raise UsageError(f"{option} {text[:40]!r} is no size of memory; write it as 1GiB or 500MiB")
    return size
