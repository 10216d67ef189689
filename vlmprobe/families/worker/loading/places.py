"""Tells whether a checkpoint is a folder on this machine or a repository of the hub."""

from __future__ import annotations

from pathlib import Path

from vlmprobe.families.worker.faults import ModelFault

__all__ = ["commit_of", "is_local", "local_folder"]


def is_local(checkpoint: str) -> bool:
    """Return whether a checkpoint names a folder on this machine rather than a hub id.

    A hub id is ``name`` or ``owner/name``; what exists here, or is written like a path, is a folder.
    """
    path = Path(checkpoint).expanduser()
    written_as_path = (
        checkpoint.startswith(("/", ".", "~")) or checkpoint.count("/") > 1 or checkpoint.endswith("/")
    )
    return written_as_path or path.exists()


def local_folder(source: str) -> Path:
    """Return the folder that a checkpoint is said to be in.

    Raises:
        ModelFault: it is not there.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise ModelFault(f"{source}: no such folder; use a checkpoint folder or a hub id")
    return folder


def commit_of(clone: Path) -> str | None:
    """Return the commit that a git clone is at, read from its files; None if it is not a clone."""
    try:
        head = (clone / ".git" / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        loose = clone / ".git" / reference
        if loose.is_file():
            return loose.read_text(encoding="utf-8").strip()
        packed = (clone / ".git" / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)
    except OSError:
        return None
