"""Open a family where its settings say: in this process, or in another Python environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.families.local import LocalFamily
from vlmprobe.families.registry import load_family_class

if TYPE_CHECKING:
    from vlmprobe.families.base import OpenFamily

__all__ = ["open_family"]


def open_family(name: str) -> OpenFamily:
    """Open the family of this name.

    Raises:
        UsageError: no family has this name; the message lists them.
        MissingPackageError: a package that the family needs is not installed.
        ModelError: the entry point does not lead to a family.
    """
    return LocalFamily(load_family_class(name))
