"""The folder for what was fetched from MLflow: whole shards, and pieces of others. What was used last stays.

It is bounded by ``VLMPROBE_SHARD_CACHE_MIB``. Everything in it can be fetched again, so another process may remove a
file at any time.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from vlmprobe.paths import can_write
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

__all__ = ["make_room", "read_piece", "touch", "write_piece"]

_DIGEST = hashlib.sha256().digest_size
#: What a process left that was killed in a download; one that still runs writes more often.
_LEFT_AFTER_S = 24 * 3600.0


def touch(path: Path) -> None:
    """Note that a file was used now."""
    with suppress(OSError):
        os.utime(path)


def make_room(folder: Path, limit: int, keep: Collection[Path] = ()) -> None:
    """Remove what was not used for longest, until the folder holds at most ``limit`` bytes.

    Args:
        folder: the cache; its files are in folders of runs.
        limit: in bytes.
        keep: files that are in use and stay, even beyond the limit.
    """
    found = []
    for path in folder.glob("*/*"):
        with suppress(OSError):  # another process makes room, too
            seen = path.stat()
            if path.is_dir():
                _remove_left(path)
            else:
                found.append((seen.st_mtime_ns, seen.st_size, path))
    held = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if held <= limit:
            break
        if path in keep:
            continue
        with suppress(OSError):
            path.unlink()
            held -= size


def _remove_left(folder: Path) -> None:
    if time.time() - folder.stat().st_mtime < _LEFT_AFTER_S:
        return
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def read_piece(path: Path) -> bytes | None:
    """Return a piece that :func:`write_piece` kept; None if it is not there, or not as it was written."""
    try:
        held = path.read_bytes()
    except OSError:
        return None
    digest, data = held[:_DIGEST], held[_DIGEST:]
    if hashlib.sha256(data).digest() != digest:
        return None
    touch(path)
    return data


def write_piece(path: Path, data: bytes) -> None:
    """Keep a piece after its hash; do nothing where nothing can be kept."""
    if not can_write(path.parent):
        return
    with suppress(OSError):  # a full disk is no reason not to go on
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_bytes(hashlib.sha256(data).digest() + data)
