"""Decodes the images of coming batches in threads, while the model is at work.

Pillow lets go of Python's lock while it decodes, so threads are enough: a photo of 640x480 takes two milliseconds, a
quarter of which hold the lock.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vlmprobe.errors import ImageError
from vlmprobe.extraction.inference import make_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from PIL.Image import Image

    from vlmprobe.families import BatchItem
    from vlmprobe.pairs import Dataset, SwapPair
    from vlmprobe.store.shards import FailureRecord

__all__ = ["ImagesAhead", "quick_turns", "read_items"]

#: Threads that decode for one GPU; large PNGs take tens of milliseconds.
_THREADS_A_GPU = 4
#: Seconds that a thread may keep Python's lock while others wait for it; five milliseconds are Python's own choice.
_TURN_S = 0.0005


@contextmanager
def quick_turns() -> Iterator[None]:
    """Let threads take turns more often than Python does by itself.

    Each image needs the lock a few times for a moment; with the model's thread busy in Python, every one of them waits
    for a whole turn, and ten times the decoding's own time is lost.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def read_items(
    dataset: Dataset, pairs: Sequence[SwapPair], *, gpus: int = 0
) -> tuple[list[BatchItem], list[FailureRecord]]:
    """Return pairs as a model sees them, each image decoded once, and a record of each whose image is damaged."""
    with ImagesAhead(dataset, gpus=gpus) as images:
        return make_items(pairs, images.collect(images.submit(pairs)))


class ImagesAhead:
    """Decoded images of pairs, asked for before they are needed; used as a context manager."""

    def __init__(self, dataset: Dataset, *, gpus: int = 0) -> None:
        """Start threads for so many GPUs that wait for images; 0 where the model needs the processors itself."""
        self._dataset = dataset
        threads = min(max(gpus * _THREADS_A_GPU, 1), os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, "vlmprobe-images")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, pairs: Sequence[SwapPair]) -> Mapping[str, Future[Image | ImageError]]:
        """Ask for the images of some pairs, each once."""
        first = {pair.image_sha256: pair for pair in reversed(pairs)}
        return {digest: self._pool.submit(self._decode, pair) for digest, pair in first.items()}

    def collect(self, pending: Mapping[str, Future[Image | ImageError]]) -> dict[str, Image | ImageError]:
        """Wait for them; return by image_sha256 the image, RGB, or why there is none.

        Raises:
            InputError: the file is gone, or is not the one that was read.
        """
        return {digest: future.result() for digest, future in pending.items()}

    def _decode(self, pair: SwapPair) -> Image | ImageError:
        try:
            return self._dataset.image(pair)
        except ImageError as error:
            return error
