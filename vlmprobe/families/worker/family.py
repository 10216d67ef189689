"""What every model family offers: load a checkpoint, answer swap pairs, hand out hidden states.

A family is code for one architecture; a scale is a checkpoint of it. This module imports no torch, so that
listing families and parsing options stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    import numpy as np
    from PIL.Image import Image

__all__ = ["MAX_NEW_TOKENS", "BatchItem", "BatchOutput", "Family", "LoadOptions", "ModelInfo"]

#: Greedy decoding stops here when no end token came (DESIGN 6).
MAX_NEW_TOKENS = 20


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Where a checkpoint is and how to load it."""

    checkpoint: str
    """A local folder or a hub id."""
    processor: str | None = None
    """Where tokenizer and image processor are; the checkpoint itself when None."""
    revision: str | None = None
    dtype: str = "auto"
    """``auto`` (bfloat16 on a GPU, float32 on a CPU), ``float32``, ``bfloat16`` or ``float16``."""
    device: str = "auto"
    layers: tuple[int, ...] | None = None
    """Decoder layers to keep, 0-based; all when None."""
    trust_remote_code: bool = False
    """Whether Python files that a checkpoint brings along may be run."""
    processor_revision: str | None = None
    """Commit, branch or tag of the processor's hub id, where that is another one than the checkpoint's."""
    devices: tuple[str, ...] = ()
    """Devices that share the work, as asked for; after :meth:`Family.resolve` those that there are."""
    compile: bool = True
    """Whether layers are compiled where that helps (on a GPU); it takes a minute and pays in long runs."""

    @property
    def processor_place(self) -> tuple[str, str | None]:
        """Where tokenizer and image processor are, and at which revision of it."""
        if self.processor is None:
            return self.checkpoint, self.revision
        return self.processor, self.processor_revision


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded, for the run's manifest."""

    n_layers: int
    """Decoder layers of the model (not of the selection)."""
    layers: tuple[int, ...]
    """The layers whose hidden states are kept, ascending."""
    dim: int
    dtype: str
    device: str
    manifest: dict[str, Any] = field(default_factory=dict)
    """Anything JSON: versions, image backend, attention kernel, end tokens, logits processors, revision."""


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One swap pair as a model sees it."""

    pair_id: str
    image: Image
    questions: tuple[str, str]
    """The original and the swapped question, as plain text."""
    answers: tuple[tuple[str, str], tuple[str, str]]
    """Per side the expected word and its opposite, for the margin."""


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """What a model said to a batch of N pairs.

    ``states`` has shape (layers, N, 2, dim) in the model's own dtype; NumPy has no bfloat16, so there it is
    uint16 holding the bits, and ``dtype`` says ``bfloat16``.
    """

    pair_ids: tuple[str, ...]
    states: np.ndarray[Any, Any]
    dtype: str
    texts: tuple[tuple[str, str], ...]
    margins: np.ndarray[Any, np.dtype[np.float64]]
    """(N, 2); NaN where the first tokens of the two words meet."""
    leads: np.ndarray[Any, np.dtype[np.float64]] | None = None
    """(N, 2) where it is known: by how many nats the closest choice of an answer's tokens was made."""


class Family(ABC):
    """One loaded checkpoint of an architecture."""

    requires: ClassVar[tuple[str, ...]] = ()
    """Import names of packages this family needs beyond vlmprobe's own."""
    least_transformers: ClassVar[tuple[int, int]] = (0, 0)
    """The first release of transformers that it runs on; (0, 0) where it does not say."""

    info: ModelInfo

    @classmethod
    def resolve(cls, options: LoadOptions) -> LoadOptions:
        """Say which device and dtype ``auto`` means here, before anything is loaded.

        A family whose checkpoint names another place for its tokenizer or image processor puts that into
        ``processor``: what is found there is then pinned, recorded and part of what tells runs apart.

        Raises:
            UsageFault: there is no such device or dtype.
            ModelFault: the checkpoint does not say where its processor is.
            PackageFault: a package that reading it needs is not installed.
        """
        from vlmprobe.families.worker.devices import pick_devices, pick_dtype

        devices = pick_devices(options.device, options.devices)
        dtype = pick_dtype(options.dtype, devices[0])
        return replace(
            options,
            device=str(devices[0]),
            devices=tuple(str(device) for device in devices),
            dtype=str(dtype).removeprefix("torch."),
        )

    @classmethod
    @abstractmethod
    def load(cls, options: LoadOptions) -> Self:
        """Load a checkpoint.

        Raises:
            ModelFault: the checkpoint is missing, incomplete or of another architecture.
            PackageFault: a package this family needs is not installed.
        """

    @abstractmethod
    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer N pairs in one batch, the way this family does it fastest.

        Raises:
            OutOfMemoryError: the batch is too large for the device.
        """

    def prepare(self, items: Sequence[BatchItem]) -> Any:
        """Do what N pairs need before the model sees them: resizing, tokens, positions.

        It may run in another thread while the model answers an earlier batch.
        """
        return items

    def run_prepared(self, prepared: Any) -> BatchOutput:
        """Answer what :meth:`prepare` returned; see :meth:`run_batch`."""
        return self.run_batch(prepared)

    @abstractmethod
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer the same pairs with one plain, unpadded forward pass per question: the reference."""

    def run_exact(self, items: Sequence[BatchItem]) -> BatchOutput | None:
        """Return the states of plain forward passes in float32 of a model that runs in half precision, without answers.

        They are what its rounding is measured against. None where a family cannot tell, or memory is short.
        """
        del items
        return None

    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        """Return how many pairs like these a batch should hold; on a GPU it asks them, to see what they take."""
        from vlmprobe.families.worker.sizing import fitting_batch

        return fitting_batch(self, items)

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return the prompt text and token ids of a pair's original question, for the run's config.

        A family that has nothing to show returns nothing.
        """
        del item
        return {}
