"""Decodes the images of coming batches while the model is at work: in processes beside a GPU, else in a thread.

On a GPU box decoding takes more than one processor, and Python threads would take their time from the one that keeps
the GPU busy. On a CPU the model needs the processors itself.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING

from vlmprobe.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future
    from types import TracebackType
    from typing import Self

    from PIL.Image import Image

    from vlmprobe.pairs import Dataset, SwapPair

__all__ = ["ImagesAhead"]

#: Below this many images a process takes longer to start than it saves.
_IMAGES_A_PROCESS = 64
_MOST_PROCESSES = 8

_dataset: Dataset | None = None


class ImagesAhead:
    """Decoded images of pairs, asked for before they are needed; used as a context manager."""

    def __init__(self, dataset: Dataset, n_images: int, *, beside_gpus: int) -> None:
        """Start what decodes.

        Args:
            dataset: where the images are.
            n_images: about how many there will be.
            beside_gpus: how many GPUs are waiting for them; 0 where the model runs on the CPU.
        """
        # The pairs travel one by one; what finds an image in the file is all that a process needs besides.
        bare = replace(dataset, pairs=(), made=(), problems=())
        processes = min(n_images // _IMAGES_A_PROCESS, _processors() - 1 - beside_gpus, _MOST_PROCESSES)
        self._pool: Executor
        self._decode: Callable[[SwapPair], _Decoded] = partial(_decode, dataset)
        if beside_gpus and processes > 1:
            self._pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (bare,))
            self._decode = _decode_there
        else:
            self._pool = ThreadPoolExecutor(1, "vlmprobe-images")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def begin(self, pairs: Sequence[SwapPair]) -> Mapping[str, Future[_Decoded]]:
        """Ask for the images of some pairs, each once."""
        first = {pair.image_sha256: pair for pair in reversed(pairs)}
        return {digest: self._pool.submit(self._decode, pair) for digest, pair in first.items()}

    def finish(self, begun: Mapping[str, Future[_Decoded]]) -> dict[str, Image | ImageError]:
        """Wait for them; return by image_sha256 the image, RGB, or why there is none.

        Raises:
            InputError: the file is gone, or is not the one that was read.
        """
        return {digest: _image(promised.result()) for digest, promised in begun.items()}


_Decoded = tuple[tuple[int, int], bytes] | str


def _begin(dataset: Dataset) -> None:
    global _dataset
    _dataset = dataset
    # Ctrl-C is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _decode_there(pair: SwapPair) -> _Decoded:
    assert _dataset is not None  # noqa: S101  (the process began with it)
    return _decode(_dataset, pair)


def _decode(dataset: Dataset, pair: SwapPair) -> _Decoded:
    """Return an image's size and RGB bytes, which cross to another process faster than an object; or what is wrong."""
    try:
        image = dataset.image(pair)
    except ImageError as error:
        return str(error)
    return image.size, image.tobytes()


def _image(decoded: _Decoded) -> Image | ImageError:
    if isinstance(decoded, str):
        return ImageError(decoded)
    from PIL import Image as Images

    return Images.frombytes("RGB", *decoded)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
