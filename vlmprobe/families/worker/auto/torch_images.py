"""Runs image processors that exist only for torchvision without torchvision.

They use two functions of torchvision, which torch itself computes to the same bits: resizing a batch of float
images without antialiasing, and subtracting the mean and dividing by the deviation. A processor is listed
here once its output has been found bit-equal to that with torchvision.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

__all__ = ["without_torchvision"]

#: Class -> its module. Any other torchvision function that one of them calls fails loudly.
_KNOWN = {"Molmo2ImageProcessor": "transformers.models.molmo2.image_processing_molmo2"}


def without_torchvision(name: str | None) -> Any:
    """Return the image processor class of this name, adapted to run without torchvision.

    None if torchvision is installed or the processor is not one of those that were tested.
    """
    from transformers.utils import is_torchvision_available

    if name not in _KNOWN or is_torchvision_available():
        return None
    base = getattr(import_module(_KNOWN[name]), name)
    members = {
        "backend": "torch",
        "resize": _resize,
        "normalize": _normalize,
        "__module__": base.__module__,
        "__doc__": base.__doc__,
    }
    return type(name, (base,), members)


def _resize(
    _self: Any, image: Tensor, size: Any, resample: Any = None, antialias: bool = True, **_: Any
) -> Tensor:
    """Resize (..., channels, height, width) as torchvision does.

    Raises:
        ValueError: in a way that was not compared with torchvision.
    """
    from PIL.Image import Resampling

    if resample != Resampling.BILINEAR or antialias or not image.is_floating_point() or not size.height:
        raise ValueError("only bilinear resizing to a height and width works without torchvision; install it")
    shape = (size.height, size.width)
    if tuple(image.shape[-2:]) == shape:
        return image
    return torch.nn.functional.interpolate(image, shape, mode="bilinear", align_corners=False)


def _normalize(_self: Any, image: Tensor, mean: Sequence[float], std: Sequence[float], **_: Any) -> Tensor:
    """Subtract each channel's mean and divide by its deviation."""
    ours = (torch.as_tensor(values, dtype=image.dtype).view(-1, 1, 1) for values in (mean, std))
    return image.sub(next(ours)).div_(next(ours))
