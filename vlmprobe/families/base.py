"""What vlmprobe sees of a model: a family to open and a loaded checkpoint to ask, wherever it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from vlmprobe.families.worker import BatchItem, BatchOutput, LoadOptions, ModelInfo

__all__ = ["Model", "OpenFamily"]


class Model(ABC):
    """A loaded checkpoint; used as a context manager, so that its process or its memory is let go."""

    info: ModelInfo

    @abstractmethod
    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer N pairs in one batch, the fastest way.

        Raises:
            OutOfMemoryError: the batch is too large for the device.
        """

    @abstractmethod
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer the same pairs with one plain, unpadded forward pass per question: the reference."""

    @abstractmethod
    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return the prompt text and token ids of a pair's original question, for the run's config."""

    @abstractmethod
    def close(self) -> None:
        """Let the model go; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OpenFamily(ABC):
    """A family found and ready to load: its code is imported, here or in another Python."""

    @abstractmethod
    def resolve(self, options: LoadOptions) -> LoadOptions:
        """Say which device and dtype ``auto`` means where the model will run.

        Raises:
            UsageError: there is no such device or dtype.
        """

    @abstractmethod
    def load(self, options: LoadOptions) -> Model:
        """Load a checkpoint.

        Raises:
            ModelError: the checkpoint is missing, incomplete or of another architecture.
            MissingPackageError: a package this family needs is not installed.
            UsageError: the device, the number format or a layer does not exist.
        """

    @abstractmethod
    def close(self) -> None:
        """End the process of another Python, if there is one; a second call does nothing."""
