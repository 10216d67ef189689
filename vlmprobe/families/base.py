"""What vlmprobe sees of a model, wherever it runs: a family to open, and a loaded checkpoint that answers batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from vlmprobe.errors import MissingPackageError, ModelError, UsageError, VlmprobeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from vlmprobe.families.worker import BatchItem, BatchOutput, LoadOptions, ModelInfo, Unembedding

__all__ = ["How", "Model", "NotExactError", "OpenFamily", "error_of"]

How = Literal["fast", "plain", "exact"]

_ERRORS: dict[str, type[VlmprobeError]] = {
    "model": ModelError,
    "usage": UsageError,
    "package": MissingPackageError,
}


def error_of(kind: str, message: str) -> VlmprobeError:
    """Return the error that a user sees for a fault of this kind."""
    return _ERRORS.get(kind, VlmprobeError)(message)


class NotExactError(Exception):
    """A family has no float32 reference, or there is not enough memory for it."""


class Model(ABC):
    """A loaded checkpoint; used as a context manager, which releases its process or its memory."""

    info: ModelInfo
    warn: Callable[[str], None] = staticmethod(lambda _: None)
    """Called with a line that the user should read, such as that a process was restarted."""
    #: How many batches keep it busy: for each device one that runs and one that is prepared.
    depth: int = 2

    @abstractmethod
    def submit(self, items: Sequence[BatchItem], *, how: How = "fast") -> Future[BatchOutput]:
        """Queue N pairs as one batch; it is prepared while earlier ones run.

        Args:
            items: pairs; those about one image share its object.
            how: ``fast``; ``plain``: unpadded questions by plain forward passes, the reference (each alone, or on a GPU
                with others of its shape); ``exact``: the same in float32, without answers, what rounding is measured
                against.

        Returns:
            The output, or an error: OutOfMemoryError where the batch is too large for the device, WorkerError where the
            model's process is gone, NotExactError where there is no exact way, anything else that the model raised.
        """

    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Infer N pairs in one batch, on the fast path; see :meth:`submit`."""
        return self.submit(items).result()

    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Infer the pairs with one plain, unpadded forward pass per question: the reference."""
        return self.submit(items, how="plain").result()

    @abstractmethod
    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        """Return how many pairs like these a batch should hold; runs them, to measure what they take.

        Items about one image object count as one pair, of which several runs ask.
        """

    def room(self) -> int | None:
        """Return the free memory of the device that has least, in bytes; None where a batch needs none of a GPU's."""
        return None

    @abstractmethod
    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return the prompt text and token ids of a pair's original question, for the run's config."""

    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        """Return the output layer's rows of these words, and what else a readout needs; None if it is not known."""
        del words
        return None

    @abstractmethod
    def close(self) -> None:
        """Release the model; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OpenFamily(ABC):
    """A family that is ready to load; its code runs here or in another Python."""

    @abstractmethod
    def resolve(self, options: LoadOptions) -> LoadOptions:
        """Resolve ``auto`` to a device and a dtype where the model will run, and locate its processor.

        Raises:
            UsageError: there is no such device or dtype.
            ModelError: the checkpoint does not say where its processor is.
            MissingPackageError: a package this family needs is not installed.
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
        """Stop the process of another Python, if there is one; a second call does nothing."""
