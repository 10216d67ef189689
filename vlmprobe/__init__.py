"""vlmprobe: a database-backed experiment tracker for probing spatial understanding in VLMs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmprobe.workflows.analyze import analyze
    from vlmprobe.workflows.extract import extract
    from vlmprobe.workflows.merge import merge
    from vlmprobe.workspace import Workspace

__all__ = ["Workspace", "__version__", "analyze", "extract", "merge"]

__version__ = "0.1.0"

#: Imported on first use, since together they take a second.
_MODULES = {
    "Workspace": "vlmprobe.workspace",
    "analyze": "vlmprobe.workflows.analyze",
    "extract": "vlmprobe.workflows.extract",
    "merge": "vlmprobe.workflows.merge",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
