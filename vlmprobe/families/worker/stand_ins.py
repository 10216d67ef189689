"""Empty modules in the place of packages that somebody's code imports and that answering about an image never uses.

A stand-in is there only while that code is imported, and only where the environment does not have the package. What
is taken from it can be named, subclassed and passed on; whoever calls it is told which package is missing.
"""

from __future__ import annotations

import sys
import types
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ["standing_in"]


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
