"""One loaded model for several runs of a checkpoint: loading takes longer than a template's questions may."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vlmprobe.families import LoadOptions, Model, OpenFamily
    from vlmprobe.workflows.console import Console

__all__ = ["OneModel"]


class OneModel:
    """A checkpoint that is loaded when it is first asked for, and let go with its family at the end."""

    def __init__(self, family: OpenFamily, options: LoadOptions, console: Console) -> None:
        """Load nothing yet: of runs that are complete no pair is asked."""
        self._family, self._options, self._console = family, options, console
        self._model: Model | None = None

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
            self._model.tell = self._console.warn
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
