"""Faults that a worker reports to its parent, which turns each into a user-facing error."""

from __future__ import annotations

__all__ = ["Fault", "ModelFault", "OutOfMemoryError", "PackageFault", "UsageFault", "first_line", "one_line"]


class Fault(Exception):  # noqa: N818  (what crosses the process border; the error is made beyond it)
    """A failure with one line that says what, where and what to do."""

    kind = "failure"


class ModelFault(Fault):
    """A checkpoint cannot be loaded, or is not what its family expects."""

    kind = "model"


class UsageFault(Fault):
    """An option is wrong: a device, a number format, a layer."""

    kind = "usage"


class PackageFault(Fault):
    """A package is missing in the environment that runs the model."""

    kind = "package"


class OutOfMemoryError(Exception):
    """The device has too little memory for this batch; a smaller one may fit."""

    kind = "memory"


def first_line(error: BaseException, most: int = 300) -> str:
    """Return the first line of an error's message, or its type if it has none, cut to ``most`` characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def one_line(error: BaseException, most: int | None = 200) -> str:
    """Return an error's message on one line, cut to ``most`` characters, or its type if it has none."""
    return " ".join(str(error).split())[:most] or type(error).__name__
