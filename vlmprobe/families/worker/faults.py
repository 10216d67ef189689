"""What can go wrong with a model, in words that travel: the parent turns each into the error a user sees."""

from __future__ import annotations

__all__ = ["Fault", "ModelFault", "OutOfMemoryError", "PackageFault", "UsageFault"]


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
