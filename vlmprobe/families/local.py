"""Runs a model in this process and turns the faults of its family into user-facing errors."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from vlmprobe.families.base import Model, NotExactError, OpenFamily, error_of
from vlmprobe.families.worker import Fault
from vlmprobe.families.worker.faults import of_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from vlmprobe.families.base import How
    from vlmprobe.families.worker import BatchItem, BatchOutput, Family, LoadOptions, Unembedding

__all__ = ["LocalFamily", "LocalModel"]

#: One more than on a CPU, so that writing a shard or a certificate does not leave the device without work.
_DEPTH_ON_A_GPU = 3

Result = TypeVar("Result")


@contextmanager
def _as_errors() -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        raise error_of(fault.kind, str(fault)) from fault


def _known(output: BatchOutput | None) -> BatchOutput:
    if output is None:
        raise NotExactError
    return output


class LocalFamily(OpenFamily):
    """A family whose code runs in this process."""

    def __init__(self, code: type[Family]) -> None:
        self._code = code

    def resolve(self, options: LoadOptions) -> LoadOptions:
        """See :meth:`OpenFamily.resolve`."""
        with _as_errors(), of_checkpoint(options.checkpoint):
            return self._code.resolve(options)

    def load(self, options: LoadOptions) -> LocalModel:
        """See :meth:`OpenFamily.load`."""
        with _as_errors(), of_checkpoint(options.checkpoint):
            return LocalModel(self._code.load(options))

    def close(self) -> None:
        """Do nothing; there is no other process to stop."""


class LocalModel(Model):
    """A checkpoint loaded in this process: one thread prepares batches, one runs the model."""

    def __init__(self, family: Family) -> None:
        self._family: Family | None = family
        self.info = family.info
        if family.info.device.startswith("cuda"):
            self.depth = _DEPTH_ON_A_GPU
        self._preparing = ThreadPoolExecutor(1, "vlmprobe-prepare")
        self._running = ThreadPoolExecutor(1, "vlmprobe-model")

    def submit(self, items: Sequence[BatchItem], *, how: How = "fast") -> Future[BatchOutput]:
        """See :meth:`Model.submit`."""
        family = self._loaded
        if how == "plain":
            return self._submit(lambda: family.run_plain(items))
        if how == "exact":
            return self._submit(lambda: _known(family.run_exact(items)))
        ready = self._preparing.submit(family.prepare, items)
        return self._submit(lambda: family.run_prepared(ready.result()))

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """See :meth:`Model.first_prompt`."""
        family = self._loaded
        return self._submit(lambda: family.first_prompt(item)).result()

    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        """See :meth:`Model.fitting_batch`."""
        family = self._loaded
        return self._submit(lambda: family.fitting_batch(items)).result()

    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        """See :meth:`Model.unembedding`."""
        family = self._loaded
        return self._submit(lambda: family.unembedding(words)).result()

    def close(self) -> None:
        """Finish a running batch, then release the model and its memory for the next scale."""
        for threads in (self._preparing, self._running):
            threads.shutdown(cancel_futures=True)
        self._family = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            # Memory that PyTorch caches is not available to other processes, such as those of several GPUs.
            torch.cuda.empty_cache()

    def _submit(self, work: Callable[[], Result]) -> Future[Result]:
        def with_errors() -> Result:
            with _as_errors():
                return work()

        return self._running.submit(with_errors)

    @property
    def _loaded(self) -> Family:
        if self._family is None:
            raise ValueError("this model was closed")
        return self._family
