"""vlmprobe: a database-backed experiment tracker for probing spatial understanding in VLMs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmprobe.library.commands import analyze, extract, merge
    from vlmprobe.library.workspace import Workspace

__all__ = ["Workspace", "__version__", "analyze", "extract", "merge"]

__version__ = "0.1.0"

#: Imported on first use, so that ``import vlmprobe`` loads nothing.
_MODULES = {
    "Workspace": "vlmprobe.library.workspace",
    "analyze": "vlmprobe.library.commands",
    "extract": "vlmprobe.library.commands",
    "merge": "vlmprobe.library.commands",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
