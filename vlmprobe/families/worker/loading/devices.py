"""Picks a model's devices and number format."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.contract import DTYPES
from vlmprobe.families.worker.faults import UsageFault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

__all__ = ["exact_float32", "on_device", "on_its_device", "pick_device", "pick_devices", "pick_dtype"]

#: Bytes of weights that are copied at a time; a few pieces are in work together.
_PIECE_BYTES = 32 * 2**20

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Return the device of this name; ``auto`` is the first CUDA GPU, else the CPU.

    Raises:
        UsageFault: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageFault(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageFault(f"device {name!r}: PyTorch finds no CUDA GPU here; use --device cpu")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UsageFault(
                f"device {name!r} does not exist; there are {torch.cuda.device_count()} GPUs, numbered from 0"
            )
    return device


def pick_devices(name: str, several: Sequence[str]) -> list[torch.device]:
    """Return the devices that share the work.

    Args:
        name: one device; ``auto`` and ``cuda`` are all GPUs here.
        several: devices, which override ``name``; a number is a GPU. A CPU may be named more than once.

    Raises:
        UsageFault: there is no such device here, they are of different kinds, or a GPU is listed twice.
    """
    if several:
        devices = [pick_device(f"cuda:{each}" if each.isdecimal() else each) for each in several]
        kinds = {device.type for device in devices}
        if len(kinds) > 1:
            raise UsageFault(
                f"--devices {','.join(several)}: use devices of one kind; results differ between kinds"
            )
        if kinds == {"cuda"} and len(set(devices)) < len(devices):
            raise UsageFault(f"--devices {','.join(several)}: a GPU is listed twice; list it once")
        return devices
    if name in {"auto", "cuda"} and torch.cuda.device_count() > 1:
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return [pick_device(name)]


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of this name; ``auto`` is bfloat16, on a CPU float32.

    Raises:
        UsageFault: there is no such format; the message lists them.
    """
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in _DTYPES:
        raise UsageFault(f"unknown dtype {name!r}; known: {', '.join(DTYPES)}")
    return _DTYPES[name]


def exact_float32() -> None:
    """Make float32 mean float32 on a GPU, for the whole process.

    By default, PyTorch lets convolutions round to TF32. A vision tower's first layer is one; its output
    varied with the number of images in a batch, by 2e-4 of a hidden state's length.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def on_device(device: torch.device) -> AbstractContextManager[Any]:
    """Make a device this thread's current one, which decides where CUDA graphs and pinned memory go."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def on_its_device(model: Any, device: torch.device) -> Any:
    """Move a model to a device and return it; weights go to a GPU through pinned memory, a piece at a time.

    Weights that are mapped from their files would go page by page: 7.5 GB took 1.5 s, and take .4 s so.
    """
    if device.type == "cuda":
        # A parameter that two modules share is listed once, and stays shared.
        for parameter in model.parameters():
            parameter.data = _through_pinned(parameter.data, device)
    return model.to(device)


def _through_pinned(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a copy on a GPU; PyTorch keeps pinned pieces until they are read, then uses them again."""
    if not tensor.is_contiguous():
        return tensor.to(device)
    moved = torch.empty_like(tensor, device=device)
    size = _PIECE_BYTES // tensor.element_size()
    pieces, places = (torch.split(whole.view(-1), size) for whole in (tensor, moved))
    for piece, place in zip(pieces, places, strict=True):
        pinned = torch.empty(len(piece), dtype=piece.dtype, pin_memory=True)
        place.copy_(pinned.copy_(piece), non_blocking=True)
    return moved
