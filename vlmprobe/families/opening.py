"""Open a family where its settings say: in this process, or in another Python environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.families.local import LocalFamily
from vlmprobe.families.registry import load_family_class
from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from vlmprobe.families.base import OpenFamily
    from vlmprobe.families.environments import Environment

__all__ = ["open_family"]


def open_family(name: str, environment: Environment | None = None) -> OpenFamily:
    """Open the family of this name; where an environment is given, its code is imported there and not here.

    Raises:
        UsageError: no family has this name; the message lists them.
        MissingPackageError: a package that the family needs is not installed.
        ModelError: the entry point does not lead to a family.
    """
    if environment is not None:
        return RemoteFamily(name, environment)
    return LocalFamily(load_family_class(name))
