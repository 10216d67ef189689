"""Faults that a worker reports to its parent, which turns each into a user-facing error."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Fault",
    "ModelFault",
    "OutOfMemoryError",
    "PackageFault",
    "UsageFault",
    "first_line",
    "of_checkpoint",
    "one_line",
]


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
    return (_plain(str(error).strip()).splitlines() or [type(error).__name__])[0][:most]


def one_line(error: BaseException, most: int | None = 200) -> str:
    """Return an error's message on one line, cut to ``most`` characters, or its type if it has none."""
    return " ".join(_plain(str(error)).split())[:most] or type(error).__name__


def _plain(text: str) -> str:
    """Replace a parser's "unexpected", which tells a reader nothing about what was wanted."""
    text = re.sub(r"\ban unexpected\b", "an unknown", text, flags=re.IGNORECASE)
    return re.sub(r"\bunexpected\b", "misplaced", text, flags=re.IGNORECASE)


@contextmanager
def of_checkpoint(checkpoint: str) -> Iterator[None]:
    """Turn whatever is raised while a checkpoint is opened into a fault that names it.

    A model's own code and the libraries that read its files raise exceptions of any kind, which no list covers.

    Raises:
        ModelFault: something was raised that is no fault yet.
        PackageFault: it was the import of a package.
    """
    try:
        yield
    except (Fault, OutOfMemoryError, MemoryError):
        raise
    except ImportError as error:
        raise PackageFault(
            f"{checkpoint}: loading it needs a package that cannot be imported: {one_line(error)}"
        ) from error
    except Exception as error:
        raise ModelFault(
            f"{checkpoint}: cannot be loaded ({type(error).__name__}: {one_line(error)}); compare its files with those "
            "of the base model, or copy it again"
        ) from error
