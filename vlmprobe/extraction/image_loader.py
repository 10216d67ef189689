"""Decodes the images of upcoming batches in threads while the model runs.

Pillow releases the GIL while it decodes, so threads are enough. A 640x480 photo takes two milliseconds and
holds the GIL for a quarter of that.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from vlmprobe.errors import ImageError
from vlmprobe.extraction.inference import make_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from PIL.Image import Image

    from vlmprobe.families import BatchItem
    from vlmprobe.pairs import SwapPair
    from vlmprobe.store.shards import FailureRecord

__all__ = ["ImagesAhead", "Pictures", "quick_turns", "read_items"]


class Pictures(Protocol):
    """What the model is shown for each pair: a dataset's own pictures, or those of a control."""

    def image(self, pair: SwapPair) -> Image:
        """Return the picture of a pair, as RGB; see :meth:`Dataset.image`."""


#: Threads that decode for one GPU; large PNGs take tens of milliseconds.
_THREADS_A_GPU = 4
#: Seconds that a thread may hold the GIL while others wait for it; Python's default is five milliseconds.
_TURN_S = 0.0005
#: The interval of the process is one, and two scales may be prepared at once.
_turns = Lock()
_before, _n_inside = 0.0, 0


@contextmanager
def quick_turns() -> Iterator[None]:
    """Switch between threads more often than Python does by default.

    Decoding an image takes the GIL a few times, briefly. While the model's thread runs Python code, each of
    these waits for a whole switch interval, and ten times the decoding time is lost.
    """
    global _before, _n_inside
    with _turns:
        _n_inside += 1
        if _n_inside == 1:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        with _turns:
            _n_inside -= 1
            if not _n_inside:
                sys.setswitchinterval(_before)


def read_items(
    pictures: Pictures, pairs: Sequence[SwapPair], *, gpus: int = 0
) -> tuple[list[BatchItem], list[FailureRecord]]:
    """Return model inputs for the pairs, and a failure record for each pair whose image is damaged."""
    with ImagesAhead(pictures, gpus=gpus) as images:
        return make_items(pairs, images.collect(images.submit(pairs)))


class ImagesAhead:
    """Decodes images in background threads before they are needed; use it as a context manager."""

    def __init__(self, pictures: Pictures, *, gpus: int = 0) -> None:
        """Start enough threads to feed ``gpus`` GPUs; pass 0 if the model itself runs on the CPU."""
        self._pictures = pictures
        threads = min(max(gpus * _THREADS_A_GPU, 1), os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, "vlmprobe-images")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, pairs: Sequence[SwapPair]) -> Mapping[str, Future[Image | ImageError]]:
        """Submit the images of some pairs for decoding, each once."""
        first = {pair.image_sha256: pair for pair in reversed(pairs)}
        return {digest: self._pool.submit(self._decode, pair) for digest, pair in first.items()}

    def collect(self, pending: Mapping[str, Future[Image | ImageError]]) -> dict[str, Image | ImageError]:
        """Wait for submitted images; return each RGB image, or its error, by image_sha256.

        Raises:
            InputError: the file is gone, or is not the one that was read.
        """
        return {digest: future.result() for digest, future in pending.items()}

    def _decode(self, pair: SwapPair) -> Image | ImageError:
        try:
            return self._pictures.image(pair)
        except ImageError as error:
            return error
