"""Whether a checkpoint may be loaded while another model is asked on the same device."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.families.worker.loading.places import is_local
from vlmprobe.families.worker.weights.files import WEIGHT_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = ["fits_beside", "read_through"]

#: Of the device's memory: left for the other model's longer prompts, and for its certificates.
_LEFT = 0.25
#: What loading takes at its peak, in sizes of the files.
_PEAK = 1.25
_READ_BYTES = 16 * 2**20


def fits_beside(options: LoadOptions) -> bool:
    """Return whether the weights of a folder fit into what another model, which has run a batch, has left free.

    Of a hub id the size is not known here, and the answer is no.
    """
    size = sum(path.stat().st_size for path in _weights(options.checkpoint))
    if not size:
        return False
    if options.device.startswith("cpu"):
        with suppress(AttributeError, OSError, ValueError):
            page = os.sysconf("SC_PAGE_SIZE")
            free, total = (page * os.sysconf(name) for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
            return free >= _PEAK * size + _LEFT * total
        return False
    import torch

    free, total = torch.cuda.mem_get_info(options.device)
    return free >= _PEAK * size + _LEFT * total


def read_through(checkpoint: str) -> None:
    """Read the weights of a folder once, so that the system has their pages when they are loaded."""
    for path in _weights(checkpoint):
        with path.open("rb", buffering=0) as file:
            while file.read(_READ_BYTES):
                pass


def _weights(checkpoint: str) -> Iterator[Path]:
    if is_local(checkpoint):
        folder = Path(checkpoint).expanduser()
        yield from (path for path in folder.iterdir() if path.suffix in WEIGHT_SUFFIXES and path.is_file())
