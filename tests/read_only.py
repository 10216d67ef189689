"""A folder that cannot be written. Tests may run as root, whom permissions do not stop; a read-only mount does."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def read_only(folder: Path, at: Path) -> Iterator[Path]:
    """Show a folder at another place, where nothing can be written; skip the test where that takes more rights."""
    at.mkdir()
    if not _mounted("--bind", folder, at):
        at.rmdir()
        pytest.skip("it mounts a folder read-only, which takes root")
    try:
        if not _mounted("-o", "remount,ro,bind", at):
            pytest.skip("this system does not mount a folder read-only")
        yield at
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)
        at.rmdir()


def _mounted(*arguments: object) -> bool:
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0
