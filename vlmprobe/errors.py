"""Errors that a user can act on: each says what, where, and what to do next."""

from __future__ import annotations

__all__ = [
    "DamagedCopyError",
    "DatabaseError",
    "DiskFullError",
    "ImageError",
    "InputError",
    "LeaseHeldError",
    "MissingPackageError",
    "ModelError",
    "StaleSchemaError",
    "TrackingError",
    "UnreadableError",
    "UsageError",
    "VlmprobeError",
    "WorkerError",
    "first_line",
    "in_one_line",
    "unknown_name",
]


class VlmprobeError(Exception):
    """A failure that ends a command: printed as one line, exit code 1."""

    exit_code = 1


class UsageError(VlmprobeError):
    """The command line or a setting is wrong: exit code 2."""

    exit_code = 2


class InputError(VlmprobeError):
    """A file that the user gave is wrong: exit code 2."""

    exit_code = 2


class ImageError(InputError):
    """An image in a file that the user gave cannot be read."""


class DatabaseError(VlmprobeError):
    """The database cannot be opened or is not one of ours: exit code 2."""

    exit_code = 2


class DiskFullError(VlmprobeError):
    """There is no room left where something is to be written."""

    def __init__(self, where: str) -> None:
        """Name the file that could not be written."""
        super().__init__(
            f"no space left to write {where}; free some and start the same command again: what was written is kept"
        )


class StaleSchemaError(DatabaseError):
    """The database was made by another version of vlmprobe."""


class LeaseHeldError(VlmprobeError):
    """Another process is working on the same run."""


class MissingPackageError(UsageError):
    """Something that was asked for needs a package that is not installed."""


class ModelError(InputError):
    """A checkpoint cannot be loaded, or is not what its family expects."""


class TrackingError(VlmprobeError):
    """MLflow did not answer or refused."""


class DamagedCopyError(TrackingError):
    """What MLflow gave back is not what it was given; another try may do better."""


class WorkerError(VlmprobeError):
    """The process in which a family's model runs died, hung, or could not be started."""


class UnreadableError(VlmprobeError):
    """A file is there, but the system does not give it now: of its content nothing is known, so nothing is undone."""


def unknown_name(what: str, name: str, valid: list[str]) -> UsageError:
    """Build the error for a name that is not among the valid ones, which it lists."""
    listed = ", ".join(valid) if valid else "none"
    return UsageError(f"unknown {what} {name[:80]!r}; known: {listed}")


def first_line(message: object) -> str:
    """Return the first line of a message that may have several; nothing when it is empty."""
    return next(iter(str(message).strip().splitlines()), "")


def in_one_line(error: BaseException) -> str:
    """Return all of an error's message in one line; the error's type when it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
