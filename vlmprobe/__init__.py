"""vlmprobe: a database-backed experiment tracker for probing spatial understanding in VLMs."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
