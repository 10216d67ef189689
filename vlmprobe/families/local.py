"""A model in this process: the family's code, with its faults turned into the errors that a user sees."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import MissingPackageError, ModelError, UsageError, VlmprobeError
from vlmprobe.families.base import Model, OpenFamily
from vlmprobe.families.worker import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.families.worker import BatchItem, BatchOutput, Family, LoadOptions

__all__ = ["LocalFamily", "LocalModel", "error_of"]

_ERRORS: dict[str, type[VlmprobeError]] = {
    "model": ModelError,
    "usage": UsageError,
    "package": MissingPackageError,
}


def error_of(kind: str, message: str) -> VlmprobeError:
    """Return the error that a user sees for a fault of this kind."""
    return _ERRORS.get(kind, VlmprobeError)(message)


@contextmanager
def _as_errors() -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        raise error_of(fault.kind, str(fault)) from fault


class LocalFamily(OpenFamily):
    """A family whose code runs in this process."""

    def __init__(self, code: type[Family]) -> None:
        self._code = code

    def resolve(self, options: LoadOptions) -> LoadOptions:
        """See :meth:`OpenFamily.resolve`."""
        with _as_errors():
            return self._code.resolve(options)

    def load(self, options: LoadOptions) -> LocalModel:
        """See :meth:`OpenFamily.load`."""
        with _as_errors():
            return LocalModel(self._code.load(options))

    def close(self) -> None:
        """Do nothing: no process of its own is there to end."""


class LocalModel(Model):
    """A checkpoint loaded in this process."""

    def __init__(self, family: Family) -> None:
        self._family: Family | None = family
        self.info = family.info

    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """See :meth:`Model.run_batch`."""
        with _as_errors():
            return self._loaded.run_batch(items)

    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """See :meth:`Model.run_plain`."""
        with _as_errors():
            return self._loaded.run_plain(items)

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """See :meth:`Model.first_prompt`."""
        with _as_errors():
            return self._loaded.first_prompt(item)

    def close(self) -> None:
        """Drop the model, so that the next scale finds its memory free."""
        self._family = None
        gc.collect()

    @property
    def _loaded(self) -> Family:
        if self._family is None:
            raise ValueError("this model was closed")
        return self._family
