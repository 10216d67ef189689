"""A family whose model runs in a process of another Python environment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from vlmprobe.families.base import Model, NotExactError, OpenFamily
from vlmprobe.families.environments import Environment
from vlmprobe.families.registry import family_target
from vlmprobe.families.worker.wire import protocol
from vlmprobe.families.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from vlmprobe.families.base import How
    from vlmprobe.families.worker import BatchItem, BatchOutput, LoadOptions, Unembedding

__all__ = ["RemoteFamily"]

_CALLS: dict[How, str] = {"fast": "run_batch", "plain": "run_plain", "exact": "run_exact"}


class RemoteFamily(OpenFamily):
    """A family in a separate environment; its process starts with the first call."""

    def __init__(self, name: str, environment: Environment) -> None:
        """Look the family up; its process starts later.

        Raises:
            UsageError: no family has this name; the message lists them.
        """
        self._new = partial(WorkerProcess, name, family_target(name), environment)
        self._worker = self._new()
        self._is_ours = environment == Environment.of_this_process()
        self._ahead: tuple[LoadOptions, str, Future[_RemoteModel | None]] | None = None

    def resolve(self, options: LoadOptions) -> LoadOptions:
        """See :meth:`OpenFamily.resolve`."""
        return self.resolving(options).result()

    def resolving(self, options: LoadOptions) -> Future[LoadOptions]:
        """Let the process resolve options, without waiting; the future holds them, or what :meth:`resolve` raises."""
        return self._worker.submit(
            "resolve",
            lambda: ({"options": protocol.write_options(options)}, ()),
            read=lambda said, _: protocol.read_options(said["options"]),
        )

    def load(self, options: LoadOptions, content: str = "") -> _RemoteModel:
        """See :meth:`OpenFamily.load`; a checkpoint that was loaded ahead is there at once.

        Args:
            options: what to load.
            content: the checkpoint's fingerprint: what was loaded ahead is used only if it had the same.
        """
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            # What went wrong with it is seen again, or has passed, such as a lack of memory.
            with suppress(Exception):
                found = ahead[2].result()
                if found is not None and ahead[:2] == (options, content):
                    return found
            if self._worker.is_usable:
                self.unload()
            else:
                self._worker = self._new()
        said, _ = self._worker.call("load", {"options": protocol.write_options(options)})
        return self._model(said)

    def load_ahead(self, options: LoadOptions, content: str, *, beside: bool = True) -> None:
        """Let the process load a checkpoint, without waiting for it.

        Args:
            options: what to load.
            content: the checkpoint's fingerprint.
            beside: another model is on the device, and this one is loaded only if there is room.
        """
        begun = self._worker.submit(
            "load",
            lambda: ({"options": protocol.write_options(options), "beside": beside}, ()),
            read=lambda said, _: None if said.get("none") else self._model(said),
        )
        self._ahead = options, content, begun

    def is_ahead(self, options: LoadOptions, content: str) -> bool:
        """Whether this is what :meth:`load_ahead` was called with last."""
        return self._ahead is not None and self._ahead[:2] == (options, content)

    @property
    def has_ahead(self) -> bool:
        """Whether it holds a model that nobody has asked for yet, or loads it."""
        return self._ahead is not None

    def _model(self, said: dict[str, Any]) -> _RemoteModel:
        return _RemoteModel(self._worker, said["info"], is_ours=self._is_ours)

    def begin(self) -> None:
        """Start the process and let it import the family's code, without waiting; a fault is told by the next call."""
        self._worker.submit("begin", lambda: ({}, ()), read=lambda *_: None)

    @property
    def is_usable(self) -> bool:
        """Whether the process has not ended; it need not have started."""
        return self._worker.is_usable

    def unload(self) -> None:
        """Let the process forget its model and give its memory back.

        Raises:
            VlmprobeError: it does not answer.
        """
        self._worker.call("unload", {})

    def close(self) -> None:
        """See :meth:`OpenFamily.close`."""
        self._worker.close()


class _RemoteModel(Model):
    """A checkpoint loaded in a worker."""

    # One more than in this process: sending a batch of images takes about as long as a GPU needs for one.
    depth = 3

    def __init__(self, worker: WorkerProcess, info: dict[str, Any], *, is_ours: bool) -> None:
        self._worker = worker
        known = protocol.read_info(info)
        more = {} if is_ours else {"own_environment": True}
        self.info = replace(known, manifest={**known.manifest, **more})

    def submit(self, items: Sequence[BatchItem], *, how: How = "fast") -> Future[BatchOutput]:
        """See :meth:`Model.submit`."""
        return self._worker.submit(_CALLS[how], lambda: protocol.write_items(items), read=_read_output)

    def fitting_batch(self, items: Sequence[BatchItem]) -> int:
        said, _ = self._worker.call("fitting_batch", *protocol.write_items(items))
        return int(said["pairs"])

    def room(self) -> int | None:
        """See :meth:`Model.room`."""
        said, _ = self._worker.call("room", {})
        found: int | None = said["bytes"]
        return found

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        said, _ = self._worker.call("first_prompt", *protocol.write_items([item]))
        prompt: dict[str, Any] = said["prompt"]
        return prompt

    def unembedding(self, words: Sequence[str]) -> Unembedding | None:
        return protocol.read_unembedding(*self._worker.call("unembedding", {"words": list(words)}))

    def close(self) -> None:
        self._worker.close()


def _read_output(said: dict[str, Any], blobs: list[bytes]) -> BatchOutput:
    if said.get("none"):
        raise NotExactError
    return protocol.read_output(said, blobs)
