"""Where a checkpoint is: a folder of this machine, or a repository of the hub."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_local"]


def is_local(checkpoint: str) -> bool:
    """Return whether a checkpoint is meant as a folder of this machine and not as a hub id.

    A hub id is ``name`` or ``owner/name``; what exists here, or is written like a path, is a folder.
    """
    path = Path(checkpoint).expanduser()
    written_as_path = (
        checkpoint.startswith(("/", ".", "~")) or checkpoint.count("/") > 1 or checkpoint.endswith("/")
    )
    return written_as_path or path.exists()
