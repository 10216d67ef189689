"""How many pairs fit in a batch: found out once for models of one shape, and kept on disk for the next command.

What is kept counts only where a device has as much free memory as when it was found out. A batch that does not fit all
the same is halved, as any other.
"""

from __future__ import annotations

import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any

from vlmprobe import __version__
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["BatchSizes"]

_NAME = "batch-sizes.json"
#: Free memory differs by some megabytes from start to start.
_AS_MUCH = 0.98
_MOST_ENTRIES = 256
_MOST_BYTES = 2**20


class BatchSizes:
    """Pairs a batch by what they depend on; a damaged file, and a folder that cannot be written, cost time alone."""

    def __init__(self, cache: Path | None = None) -> None:
        """Start with what is kept in a folder, which need not be there; None = keep nothing on disk."""
        self._file = None if cache is None else cache / _NAME
        self._own: dict[str, int] = {}

    def find(self, depends_on: Sequence[object], room: int | None) -> int | None:
        """Return the pairs of a batch, if they are known.

        Args:
            depends_on: model, devices and questions, as JSON knows them.
            room: the free memory of the device that has least, in bytes; None where memory is not what limits a batch.
        """
        key = _key(depends_on)
        if key in self._own:
            return self._own[key]
        pairs, before = self._read().get(key, (0, 0))
        return pairs if room is not None and pairs and room >= _AS_MUCH * before else None

    def keep(self, depends_on: Sequence[object], room: int | None, pairs: int) -> None:
        """Remember what was found out with so much free memory."""
        key = _key(depends_on)
        self._own[key] = pairs
        if self._file is None or room is None:
            return
        kept = self._read()
        kept.pop(key, None)
        kept[key] = (pairs, room)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(self._file) as partial:
                partial.write_text(
                    json.dumps(dict(list(kept.items())[-_MOST_ENTRIES:]), indent=1) + "\n", "ascii"
                )
        except (OSError, ValueError):
            return  # the next command finds out once more

    def clear(self) -> None:
        """Forget what this process found out: from now on free memory is looked at again."""
        self._own.clear()

    def _read(self) -> dict[str, tuple[int, int]]:
        try:
            if self._file is None or not self._file.is_file() or self._file.stat().st_size > _MOST_BYTES:
                return {}
            found = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        entries = found.items() if isinstance(found, dict) else ()
        return {key: (entry[0], entry[1]) for key, entry in entries if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list) and len(entry) == 2 and all(type(each) is int and each > 0 for each in entry)
    )


def _key(depends_on: Sequence[object]) -> str:
    """Return a name for it all, on this machine and in this version."""
    text = json.dumps([__version__, platform.node(), *depends_on])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
