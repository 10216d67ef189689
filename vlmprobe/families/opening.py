"""Opens a family in this process or, if its settings say so, in another Python environment."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vlmprobe.families.local import LocalFamily
from vlmprobe.families.registry import load_family_class
from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from vlmprobe.families.base import OpenFamily
    from vlmprobe.families.environments import Environment

__all__ = ["open_family", "open_on_devices"]


def open_on_devices(name: str, environment: Environment | None, family: OpenFamily) -> OpenFamily:
    """Return a family that is loaded on several devices, each in its own process.

    Args:
        name: the family.
        environment: the Python that it runs in; this one, when None.
        family: as it was opened to resolve options.
    """
    from vlmprobe.families.environments import Environment
    from vlmprobe.families.pool import SpreadFamily

    place = environment or Environment(sys.executable)
    return SpreadFamily(family, lambda: RemoteFamily(name, place))


def open_family(name: str, environment: Environment | None = None) -> OpenFamily:
    """Open a family by name; with an environment, its code is imported only there.

    Raises:
        UsageError: no family has this name; the message lists them.
        MissingPackageError: a package that the family needs is not installed.
        ModelError: the entry point does not lead to a family.
    """
    if environment is not None:
        return RemoteFamily(name, environment)
    return LocalFamily(load_family_class(name))
