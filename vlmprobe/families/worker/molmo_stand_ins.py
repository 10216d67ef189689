"""Stand-ins for packages that Molmo's own code imports and that reading a question about an image does not need.

    boto3, botocore, cached_path    olmo: downloads and uploads of checkpoints. Inert: to use one is an error
    torchvision                     one resize, for which torchvision itself calls torch's ``interpolate``
    tensorflow                      the same resize, as the published image processor asks for it

Only what is not installed is stood in for, and only while Molmo's code is imported or called: nothing else of the
process ever sees a stand-in. ``olmo.data`` is stood in for always: its own ``__init__`` imports every training dataset.

torchvision's pixels are torch's, bit for bit. TensorFlow's differ from them by up to 1e-4 of the range from black to
white, a fortieth of a grey level, so a run's manifest says what resized its images (``image_backend``).
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["resizing", "stand_ins", "tensorflow_stand_in"]

#: One thread at a time: images are prepared in one while the model runs in another.
_IN_USE = threading.RLock()
_INERT = ("boto3", "botocore", "botocore.config", "botocore.exceptions", "cached_path", "cached_path.schemes")
_TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


@contextmanager
def stand_ins(package: str | None = None) -> Iterator[None]:
    """Let imports find a stand-in for each package that is not installed.

    Args:
        package: the folder of the olmo package, whose ``data`` part is then importable file by file.
    """
    _let_others_look()
    with _IN_USE, _importable(_all(package)):
        yield


@contextmanager
def tensorflow_stand_in() -> Iterator[None]:
    """Let a function that imports TensorFlow when it is called find the stand-in, where TensorFlow is not installed."""
    _let_others_look()
    with _IN_USE:  # looking while another thread has it installed would find it installed
        made = {"tensorflow": _tensorflow()} if _is_missing("tensorflow") else {}
        with _importable(made):
            yield


def _all(package: str | None) -> dict[str, ModuleType]:
    made: dict[str, ModuleType] = {}
    for name in _INERT:
        if _is_missing(name):
            made[name] = _inert(name)
            package_of, _, part = name.rpartition(".")
            if package_of:
                setattr(made[package_of], part, made[name])
    if _is_missing("torchvision"):
        made |= _torchvision()
    if _is_missing("tensorflow"):
        made["tensorflow"] = _tensorflow()
    if package is not None and "olmo.data" not in sys.modules:
        made["olmo.data"] = _module("olmo.data", path=str(Path(package) / "data"))
    return made


@contextmanager
def _importable(made: dict[str, ModuleType]) -> Iterator[None]:
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            sys.modules.pop(name, None)


def resizing(source: str) -> str:
    """Say what resizes images in this Python source: ``tensorflow``, ``torchvision``, or ``torch`` in place of one."""
    wanted = "tensorflow" if "import tensorflow" in source else "torchvision"
    return wanted if find_spec(wanted) is not None else f"torch, for {wanted}"


def _let_others_look() -> None:
    """Have transformers and einops remember what is really installed, before they can see a stand-in."""
    import einops
    import numpy as np
    import transformers.image_processing_utils
    import transformers.image_utils
    import transformers.processing_utils  # noqa: F401
    from transformers.utils import is_torchvision_available

    is_torchvision_available()
    for array in (np.zeros(1), torch.zeros(1)):
        einops.rearrange(array, "a -> a")


def _is_missing(name: str) -> bool:
    package = name.partition(".")[0]
    return package not in sys.modules and find_spec(package) is None


def _module(name: str, path: str | None = None, **members: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = [] if path is None else [path]
    for member, value in members.items():
        setattr(module, member, value)
    return module


def _inert(name: str) -> ModuleType:
    def __getattr__(member: str) -> Any:  # noqa: N807  (a module's own hook)
        if member.startswith("__"):
            raise AttributeError(member)
        return type(member, (Exception,), {"recoverable_errors": ()})

    return _module(name, __getattr__=__getattr__)


def _torchvision() -> dict[str, ModuleType]:
    class InterpolationMode:
        """The names that Molmo's code mentions; it resizes with the first."""

        BILINEAR = "bilinear"
        BICUBIC = "bicubic"
        NEAREST_EXACT = "nearest-exact"
        LANCZOS = "lanczos"
        HAMMING = "hamming"

    class Resize:
        """Resize float images (..., height, width), as torchvision does for tensors."""

        def __init__(self, size: list[int], interpolation: str, *, antialias: bool) -> None:
            if interpolation not in {"bilinear", "bicubic"}:
                raise ValueError(
                    f"no {interpolation} resize without torchvision; run: pip install torchvision"
                )
            self._size, self._mode, self._antialias = list(size), interpolation, antialias

        def __call__(self, image: Tensor) -> Tensor:
            if not image.is_floating_point():
                raise ValueError(
                    "whole-number pixels are resized by torchvision; run: pip install torchvision"
                )
            return _interpolate(image, self._size, self._mode, antialias=self._antialias)

    functional = _module(_TORCHVISION[2], convert_image_dtype=_as_float)
    transforms = _module(
        _TORCHVISION[1], Resize=Resize, InterpolationMode=InterpolationMode, functional=functional
    )
    return dict(
        zip(
            _TORCHVISION,
            (_module(_TORCHVISION[0], transforms=transforms), transforms, functional),
            strict=True,
        )
    )


def _tensorflow() -> ModuleType:
    def convert(image: Tensor, dtype: Any) -> Tensor:
        del dtype
        return _as_float(image)

    def resize(image: Tensor, size: list[int], method: str, *, antialias: bool) -> Tensor:
        """Resize (height, width, channels)."""
        channels_first = image.permute(2, 0, 1)
        return _interpolate(channels_first, size, method, antialias=antialias).permute(1, 2, 0)

    class ResizeMethod:
        BILINEAR = "bilinear"

    image = _module("tensorflow.image", convert_image_dtype=convert, resize=resize, ResizeMethod=ResizeMethod)
    return _module(
        "tensorflow",
        image=image,
        constant=torch.from_numpy,
        float32=torch.float32,
        clip_by_value=torch.clip,
    )


def _as_float(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Turn bytes into numbers from 0 to 1."""
    return image.to(dtype) / 255


def _interpolate(image: Tensor, size: list[int], mode: str, *, antialias: bool) -> Tensor:
    """Resize (channels, height, width)."""
    resized = torch.nn.functional.interpolate(
        image[None], size=size, mode=mode, align_corners=False, antialias=antialias
    )
    return resized[0]
