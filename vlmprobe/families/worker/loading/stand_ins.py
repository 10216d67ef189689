"""Empty modules in the place of packages that somebody's code imports and that answering about an image never uses.

A stand-in is there only while that code is imported, and only where the environment does not have the package. What
is taken from it can be named, subclassed and passed on; whoever calls it is told which package is missing.
"""

from __future__ import annotations

import sys
import threading
import types
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from torch import Tensor

__all__ = ["resizing", "stand_ins", "standing_in", "tensorflow_stand_in"]

#: One thread at a time: images are prepared in one while the model runs in another.
_IN_USE = threading.RLock()
_INERT = ("boto3", "botocore", "botocore.config", "botocore.exceptions", "cached_path", "cached_path.schemes")
_TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")


class _StandInModule(types.ModuleType):
    """A module that has every name it is asked for."""

    __path__: list[str] = []  # noqa: RUF012  (a package without files, so that its submodules stand in too)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> None:
            raise ModuleNotFoundError(
                f"{self.__name__}.{name} is needed after all; install {self.__name__.partition('.')[0]} for it",
                name=self.__name__,
            )

        return type(name, (), {"__init__": missing, "__module__": self.__name__})


class _Finder:
    """Finds the packages that may be missing; asked last, so only where nothing else finds them."""

    def __init__(self, names: Collection[str]) -> None:
        self.names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> ModuleSpec | None:
        del path, target
        loader: Any = self
        return ModuleSpec(name, loader, is_package=True) if name.partition(".")[0] in self.names else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Leave it empty."""


@contextmanager
def standing_in(packages: Collection[str], modules: Collection[str] = ()) -> Iterator[list[str]]:
    """Let stand-ins be imported within the block.

    Args:
        packages: top-level packages, stood in for where they are not installed.
        modules: full names of modules, always stood in for.

    Yields:
        The top-level packages stood in for; complete when the block ends.
    """
    finder: Any = _Finder(packages)
    used: list[str] = []
    sys.modules.update({name: _StandInModule(name) for name in modules if name not in sys.modules})
    sys.meta_path.append(finder)
    try:
        yield used
    finally:
        sys.meta_path.remove(finder)
        stand_ins = [name for name, module in sys.modules.items() if isinstance(module, _StandInModule)]
        used += sorted({name for name in stand_ins if "." not in name})
        for name in stand_ins:
            del sys.modules[name]


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
