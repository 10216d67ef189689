"""Loads a script of docs/, with those beside it within reach as when Python runs it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

__all__ = ["docs_script"]

_DOCS = Path(__file__).resolve().parents[1] / "docs"


def docs_script(name: str) -> dict[str, Any]:
    """Return the names of ``docs/NAME.py``."""
    sys.path.insert(0, str(_DOCS))
    try:
        return vars(importlib.import_module(name))
    finally:
        sys.path.remove(str(_DOCS))
