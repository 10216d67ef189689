"""A checkpoint that is loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.families import KeptFamily

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vlmprobe.families import LoadOptions, Model, OpenFamily
    from vlmprobe.workspace import Console

__all__ = ["LazyModel"]


class LazyModel:
    """A checkpoint that is loaded on first use and closed, with its family, on exit."""

    def __init__(self, family: OpenFamily, options: LoadOptions, console: Console) -> None:
        """Load nothing yet; complete runs need no model."""
        self._family, self._options, self._console = family, options, console
        self._model: Model | None = None

    def begin(self) -> None:
        """Begin to load the model where it has processes of its own, without waiting for it."""
        if self._model is None and isinstance(self._family, KeptFamily):
            self._family.load_ahead(self._options, beside=False)

    def load(self) -> Model:
        """Return the model, loaded once.

        Raises:
            ModelError: the checkpoint is missing, incomplete or of another architecture.
            UsageError: the device, the number format or a layer does not exist.
        """
        if self._model is None:
            options = self._options
            self._console.say(f"loading {options.checkpoint} ({options.dtype} on {options.device})")
            self._model = self._family.load(options)
            self._model.warn = self._console.warn
        return self._model

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._model is not None:
                self._model.close()
        finally:
            self._family.close()
