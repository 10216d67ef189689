"""Errors that a user can act on: each says what, where, and what to do next."""

from __future__ import annotations

__all__ = [
    "ConflictError",
    "ConnectionLostError",
    "DamagedCopyError",
    "DamagedImageError",
    "DatabaseError",
    "DiskFullError",
    "ElsewhereError",
    "ImageError",
    "InputError",
    "LeaseHeldError",
    "LeaseLostError",
    "MissingPackageError",
    "ModelError",
    "NoRandomWeightsError",
    "ReadOnlyError",
    "RefusedImageError",
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


class DamagedImageError(ImageError):
    """An image's header is whole, but its pixels are damaged or cut off."""


class RefusedImageError(ImageError):
    """An image is whole, but no rule says what its pixels look like in 8-bit RGB."""


class DatabaseError(VlmprobeError):
    """The database cannot be opened or is not one of ours: exit code 2."""

    exit_code = 2


class ConnectionLostError(VlmprobeError):
    """A database's server went away in the middle of a transaction, of which nothing or everything is written."""


class DiskFullError(VlmprobeError):
    """A file could not be written because the disk is full."""

    def __init__(self, where: str) -> None:
        """Name the file that could not be written."""
        super().__init__(
            f"no space left to write {where}; free some space and rerun the same command; finished work is kept"
        )


class ReadOnlyError(VlmprobeError):
    """Something would have to be written where nothing can be."""

    def __init__(
        self, where: str, todo: str = "use a copy of the home that you can write, with --home"
    ) -> None:
        """Name what cannot be written, and what to do."""
        super().__init__(f"{where} is read-only, so nothing was written; {todo}")


class StaleSchemaError(DatabaseError):
    """The database was made by another version of vlmprobe."""


class LeaseHeldError(VlmprobeError):
    """Another process is working on the same run."""


class LeaseLostError(VlmprobeError):
    """Another process took a run over from this one, which must write nothing more for it."""


class ConflictError(VlmprobeError):
    """Two homes hold different states of the same thing; neither is overwritten."""


class ElsewhereError(VlmprobeError):
    """Files are intact, as far as anyone knows, but this host cannot read them."""

    def __init__(self, message: str, where: str) -> None:
        """Store the message, and in a few words where the files are."""
        super().__init__(message)
        self.where = where


class MissingPackageError(UsageError):
    """A requested feature needs a package that is not installed."""


class ModelError(InputError):
    """A checkpoint cannot be loaded, or is not what its family expects."""


class NoRandomWeightsError(ModelError):
    """A family's code loads the checkpoint's weights where it was asked to initialize random ones."""


class TrackingError(VlmprobeError):
    """MLflow did not respond or refused the request."""

    def __init__(self, message: str, *, lasts: bool = False) -> None:
        """Store the message.

        Args:
            message: one line: which MLflow, and what it says.
            lasts: whether it will refuse again, since an address, a setting or a package has to change first.
        """
        super().__init__(message)
        self.lasts = lasts


class DamagedCopyError(TrackingError):
    """A file downloaded from MLflow differs from the one uploaded; retrying may help."""


class WorkerError(VlmprobeError):
    """The process in which a family's model runs died, hung, or could not be started."""

    def __init__(self, what: str, todo: str = "") -> None:
        """Store what happened, which another process may make good, and what to do if none does."""
        super().__init__(f"{what}; {todo}" if todo else what)
        self.what = what


class UnreadableError(VlmprobeError):
    """A file exists but cannot be read right now; its content is unknown, so nothing is rolled back."""


def unknown_name(what: str, name: str, valid: list[str]) -> UsageError:
    """Build the error for an unknown name; the message lists the valid ones."""
    listed = ", ".join(valid) if valid else "none"
    return UsageError(f"unknown {what} {name[:80]!r}; known: {listed}")


def first_line(message: object) -> str:
    """Return the first line of a message; an empty string if there is none."""
    return next(iter(str(message).strip().splitlines()), "")


def in_one_line(error: BaseException) -> str:
    """Return an error's whole message on one line, or the error's type if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__
