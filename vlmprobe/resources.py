"""Finds the files that ship with the package: bundled checkpoints, ``queries/`` and ``migrations/``.

The last two are top-level folders in a checkout and package data in a wheel.
"""

from __future__ import annotations

from pathlib import Path

from vlmprobe.errors import VlmprobeError

__all__ = ["checkpoints_folder", "migrations_folder", "queries_folder"]

_PACKAGE = Path(__file__).resolve().parent


def checkpoints_folder() -> Path:
    """Return the folder of the demo's checkpoints, each in a subfolder named after its scale."""
    return _PACKAGE / "demo" / "checkpoints"


def queries_folder() -> Path:
    """Return the folder of SQL files, one SELECT each."""
    return _find("queries")


def migrations_folder() -> Path:
    """Return the Alembic script folder."""
    return _find("migrations")


def _find(name: str) -> Path:
    # A checkout wins: an editable install must see the files that are being edited.
    for candidate in (_PACKAGE.parent / name, _PACKAGE / "_resources" / name):
        if (candidate / "README.md").is_file():
            return candidate
    raise VlmprobeError(f"this installation of vlmprobe has no {name}/ folder; reinstall it")
