"""The interface of every model family: load a checkpoint, answer swap pairs, return hidden states.

A family is code for one architecture; a scale is a checkpoint of it. This module imports no torch, so that
listing families and parsing options stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from vlmprobe.families.worker.contract import (
        BatchItem,
        BatchOutput,
        LoadOptions,
        ModelInfo,
        Unembedding,
    )

__all__ = ["Family"]


class Family(ABC):
    """One loaded checkpoint of an architecture."""

    requires: ClassVar[tuple[str, ...]] = ()
    """Import names of packages this family needs beyond vlmprobe's own."""
    least_transformers: ClassVar[tuple[int, int]] = (0, 0)
    """The oldest release of transformers that it runs on; (0, 0) if it does not say."""

    info: ModelInfo

    @classmethod
    def resolve(cls, options: LoadOptions) -> LoadOptions:
        """Resolve ``auto`` to a device and a dtype, before anything is loaded.

        A family whose checkpoint names another source for its tokenizer or image processor stores it in
        ``processor``, so that it is pinned, recorded and part of a run's identity.

        Raises:
            UsageFault: there is no such device or dtype.
            ModelFault: the checkpoint does not say where its processor is.
            PackageFault: a package that reading it needs is not installed.
        """
        from vlmprobe.families.worker.loading.devices import pick_devices, pick_dtype
        from vlmprobe.families.worker.loading.places import is_local

        if is_local(options.checkpoint) and (folder := Path(options.checkpoint).expanduser()).is_dir():
            cls.check_folder(folder)
        devices = pick_devices(options.device, options.devices)
        dtype = pick_dtype(options.dtype, devices[0])
        return replace(
            options,
            device=str(devices[0]),
            devices=tuple(str(device) for device in devices),
            dtype=str(dtype).removeprefix("torch."),
        )

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """Refuse a checkpoint's folder that can be read in more than one way, before its content is fingerprinted.

        A family that reads its weights from the folder itself calls :func:`find_weights` here.

        Raises:
            ModelFault: the folder is no checkpoint, or it is open which of its files are the weights.
        """
        del folder

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
        """Infer N pairs in one batch, on this family's fastest path.

        Raises:
            OutOfMemoryError: the batch is too large for the device.
        """

    def prepare(self, items: Sequence[BatchItem]) -> Any:
        """Preprocess N pairs for the model: resize images, compute tokens and positions.

        It may run in another thread while the model infers an earlier batch.
        """
        return items

    def run_prepared(self, prepared: Any) -> BatchOutput:
        """Infer what :meth:`prepare` returned; see :meth:`run_batch`."""
        return self.run_batch(prepared)

    @abstractmethod
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Infer the pairs with one plain, unpadded forward pass per question: the reference."""

    def run_exact(self, items: Sequence[BatchItem]) -> BatchOutput | None:
        """Return the states of plain float32 forwards for a half-precision model, without answers.

        The model's rounding is measured against them. None if a family has no such pass or memory is short.
        """
        del items
        return None

    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        """Return how many pairs like these a batch should hold; on a GPU it runs them, to measure what they take.

        Items about one image object count as one pair, of which several runs ask.
        """
        from vlmprobe.families.worker.engine.memory import fitting_batch

        n_pairs = len({id(item.image) for item in items})
        return fitting_batch(lambda: self.run_batch(items), n_pairs, self.info.device)

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return the prompt text and token ids of a pair's original question, for the run's config.

        A family that has nothing to show returns an empty dict.
        """
        del item
        return {}

    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        """Return the rows of these words' first tokens in the output layer, and what else a readout needs.

        None if a family does not know its output layer and its final norm.
        """
        del words
        return None
