"""The cache for what was fetched: bounded, and what was used last stays."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from vlmprobe.store.shard_cache import make_room, read_piece, touch, write_piece

if TYPE_CHECKING:
    from pathlib import Path


def _file(folder: Path, name: str, age_s: float) -> Path:
    path = folder / "r1" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(100))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_what_was_not_used_for_longest_leaves_first(tmp_path: Path) -> None:
    """Using a file again lets it stay; one in use stays whatever its age."""
    first, second, third = (_file(tmp_path, str(age), age) for age in (30, 20, 10))
    make_room(tmp_path, 300)
    assert first.exists()
    touch(first)
    make_room(tmp_path, 299)
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)
    make_room(tmp_path, 0, keep={third})
    assert (first.exists(), third.exists()) == (False, True)


def test_what_a_killed_download_left_is_removed_a_day_later(tmp_path: Path) -> None:
    """Not earlier: another process may be at work there."""
    left = tmp_path / "r1" / "tmpabc"
    left.mkdir(parents=True)
    (left / "00001.safetensors").write_bytes(b"half")
    make_room(tmp_path, 0)
    assert left.exists()
    os.utime(left, (time.time() - 25 * 3600,) * 2)
    make_room(tmp_path, 0)
    assert not left.exists()


def test_a_piece_comes_back_as_it_was_or_not_at_all(tmp_path: Path) -> None:
    """Half a piece, or none, is fetched again by whoever asks."""
    path = tmp_path / "r1" / "piece"
    assert read_piece(path) is None
    write_piece(path, b"states")
    assert read_piece(path) == b"states"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_piece(path) is None
