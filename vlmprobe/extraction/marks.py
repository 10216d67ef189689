"""What tells a checkpoint and its processor from others; folders are hashed while other things are prepared."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING

from vlmprobe.errors import ModelError
from vlmprobe.families import fingerprint, is_local

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from vlmprobe.families import LoadOptions, ScaleSpec
    from vlmprobe.file_hashes import FileHashes

__all__ = ["Fingerprints", "Marks"]


class Fingerprints:
    """The fingerprints of one request. The folders that its scale names are hashed from the beginning, in threads.

    Use it as a context: what is still being hashed at its end stops.
    """

    def __init__(self, spec: ScaleSpec, hashes: FileHashes, *, anew: bool = False) -> None:
        """Begin with the folders; a hub id is looked up when it is asked for.

        Args:
            spec: the scale.
            hashes: what is known already.
            anew: trust no hash that another process computed.
        """
        self._hashes = hashes
        self._anew = anew
        self._stop = Event()
        self._pool = ThreadPoolExecutor(1, "vlmprobe-fingerprint")
        self._begun: dict[tuple[str, bool], Future[str]] = {}
        for place, weights in ((spec.checkpoint, True), (spec.processor, False)):
            if place is not None and is_local(place):
                self._begun[place, weights] = self._pool.submit(self._take, place, None, weights)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what still runs."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def of(self, place: str, revision: str | None, *, weights: bool = True) -> str:
        """Return a fingerprint; wait for it if it has begun.

        Raises:
            ModelError: as :func:`vlmprobe.families.fingerprint`.
        """
        begun = self._begun.get((place, weights))
        return self._take(place, revision, weights) if begun is None else begun.result()

    def _take(self, place: str, revision: str | None, weights: bool) -> str:
        return fingerprint(
            place, revision, weights=weights, hashes=self._hashes, anew=self._anew, stop=self._stop
        )


@dataclass(frozen=True, slots=True)
class Marks:
    """The fingerprints of checkpoint and processor: a commit, or a folder's hash."""

    checkpoint: str
    processor: str | None
    """None if the checkpoint includes its own."""

    @classmethod
    def of(cls, options: LoadOptions, fingerprints: Fingerprints) -> Marks:
        """Query the hub, or hash the folders.

        Args:
            options: as the family resolved them: its checkpoint may name a processor that the catalog does not know.
            fingerprints: those that have begun.
        """
        checkpoint = fingerprints.of(options.checkpoint, options.revision)
        if options.processor is None:
            return cls(checkpoint, None)
        try:
            processor = fingerprints.of(options.processor, options.processor_revision, weights=False)
        except ModelError as error:
            raise ModelError(f"the processor of {options.checkpoint}: {error}") from error
        return cls(checkpoint, processor)

    def pin(self, options: LoadOptions) -> LoadOptions:
        """Pin the exact commits that the run key names; a branch may move between two sessions."""
        if not is_local(options.checkpoint):
            options = replace(options, revision=self.checkpoint)
        if options.processor is not None and not is_local(options.processor):
            options = replace(options, processor_revision=self.processor)
        return options
