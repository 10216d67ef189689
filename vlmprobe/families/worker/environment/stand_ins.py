"""Stand-ins for packages that a model's code imports but does not need for inference.

A stand-in exists only while that code is imported, and only if the environment lacks the package. Members of
an empty one can be named, subclassed and passed on; calling one raises an error that names the package.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    #: Creates the module with a full name; returns None if the stand-in has no such module.
    Maker = Callable[[str], ModuleType | None]

__all__ = ["EmptyModule", "standing_in"]

#: One thread prepares images while another runs the model; neither may remove the other's stand-ins.
_IN_USE = threading.RLock()


class EmptyModule(ModuleType):
    """A module that has an attribute of every name."""

    __path__: list[str] = []  # noqa: RUF012  (a package without files, so that its submodules stand in too)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*_: Any, **__: Any) -> None:
            raise ModuleNotFoundError(
                f"{self.__name__}.{name} is needed; install {self.__name__.partition('.')[0]}",
                name=self.__name__,
            )

        return type(name, (), {"__init__": missing, "__module__": self.__name__})


class _Finder:
    """Imports stand-ins through the functions that create them."""

    def __init__(self, makers: Mapping[str, Maker]) -> None:
        self._makers = makers
        self.imported: set[str] = set()

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        make = self._makers.get(name) or self._makers.get(name.partition(".")[0])
        module = None if make is None else make(name)
        loader: Any = self
        return None if module is None else ModuleSpec(name, loader, is_package=True, loader_state=module)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.imported.add(spec.name)
        module: ModuleType = spec.loader_state
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing; the module is complete."""


@contextmanager
def standing_in(
    packages: Mapping[str, Maker], modules: Mapping[str, Maker] | None = None
) -> Iterator[list[str]]:
    """Allow stand-ins to be imported within the block, by one thread at a time.

    Args:
        packages: top-level packages, replaced by stand-ins if they are not installed.
        modules: full names of modules, always replaced by stand-ins.

    Yields:
        The top-level packages that were replaced; complete when the block ends.
    """
    first: Any = _Finder(modules or {})
    last: Any = _Finder(packages)
    used: list[str] = []
    with _IN_USE:
        sys.meta_path[:] = [first, *sys.meta_path, last]
        try:
            yield used
        finally:
            for finder in (first, last):
                sys.meta_path.remove(finder)
                for name in finder.imported:
                    sys.modules.pop(name, None)
            used += sorted(name for name in last.imported if "." not in name)
