"""Stand-ins for packages that Molmo's own code imports, if they are not installed.

Packages that are not needed to process an image are empty. torchvision and TensorFlow resize images with
functions that torch has, too, so their stand-ins call torch.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.environment.stand_ins import EmptyModule, standing_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import Tensor

    from vlmprobe.families.worker.environment.stand_ins import Maker

__all__ = ["resizing", "stand_ins"]


def stand_ins(olmo: Path | None = None) -> AbstractContextManager[list[str]]:
    """Allow Molmo's own code to be imported, and to resize images, within the block.

    Args:
        olmo: the folder of the olmo package; makes its ``data`` subpackage importable file by file.
    """
    _let_others_look()
    packages: dict[str, Maker] = {
        "boto3": EmptyModule,
        "botocore": EmptyModule,
        "cached_path": _cached_path,
        "torchvision": _torchvision().get,
        "tensorflow": {"tensorflow": _tensorflow()}.get,
    }
    if olmo is None:
        return standing_in(packages)
    return standing_in(packages, {"olmo.data": lambda name: _module(name, __path__=[str(olmo / "data")])})


def resizing(source: str) -> str:
    """Return what resizes images in this source: ``tensorflow``, ``torchvision``, or ``torch`` instead."""
    wanted = "tensorflow" if "import tensorflow" in source else "torchvision"
    return wanted if find_spec(wanted) is not None else f"torch, for {wanted}"


def _let_others_look() -> None:
    """Let transformers and einops detect what is really installed, before they can see a stand-in."""
    import einops
    import numpy as np
    import transformers.image_processing_utils
    import transformers.image_utils
    import transformers.processing_utils  # noqa: F401
    from transformers.utils import is_torchvision_available

    is_torchvision_available()
    for array in (np.zeros(1), torch.zeros(1)):
        einops.rearrange(array, "a -> a")


def _module(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(members)
    return module


def _cached_path(name: str) -> ModuleType:
    module = EmptyModule(name)
    # olmo extends this tuple of errors during import.
    vars(module)["SchemeClient"] = type("SchemeClient", (), {"recoverable_errors": ()})
    return module


def _torchvision() -> dict[str, ModuleType]:
    functional = _module("torchvision.transforms.functional", convert_image_dtype=_as_float)
    # The names that Molmo's code refers to; it resizes with the first.
    modes = ("bilinear", "bicubic", "nearest-exact", "lanczos", "hamming")
    named = SimpleNamespace(**{mode.upper().replace("-", "_"): mode for mode in modes})
    parts = {"Resize": _resize, "InterpolationMode": named, "functional": functional}
    transforms = _module("torchvision.transforms", **parts)
    top = _module("torchvision", transforms=transforms)
    return {module.__name__: module for module in (top, transforms, functional)}


def _resize(size: list[int], interpolation: str, *, antialias: bool) -> Callable[[Tensor], Tensor]:
    """Return a function that resizes float images (channels, height, width) like torchvision does tensors."""
    if interpolation not in {"bilinear", "bicubic"}:
        raise ValueError(f"no {interpolation} resize without torchvision; run: pip install torchvision")

    def resize(image: Tensor) -> Tensor:
        if not image.is_floating_point():
            raise ValueError("resizing integer pixels needs torchvision; run: pip install torchvision")
        return _interpolate(image, size, interpolation, antialias=antialias)

    return resize


def _tensorflow() -> ModuleType:
    def resize(image: Tensor, size: list[int], method: str, *, antialias: bool) -> Tensor:
        """Resize (height, width, channels)."""
        channels_first = image.permute(2, 0, 1)
        return _interpolate(channels_first, size, method, antialias=antialias).permute(1, 2, 0)

    method = SimpleNamespace(BILINEAR="bilinear")
    image = SimpleNamespace(convert_image_dtype=_as_float, resize=resize, ResizeMethod=method)
    pixels = {"constant": torch.from_numpy, "float32": torch.float32, "clip_by_value": torch.clip}
    return _module("tensorflow", image=image, **pixels)


def _as_float(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn bytes into numbers from 0 to 1."""
    return image.to(dtype) / 255


def _interpolate(image: Tensor, size: list[int], mode: str, *, antialias: bool) -> Tensor:
    """Resize (channels, height, width)."""
    resized = torch.nn.functional.interpolate(
        image[None], size=list(size), mode=mode, align_corners=False, antialias=antialias
    )
    return resized[0]
