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
    from vlmprobe.families.kept_workers import KeptWorkers

__all__ = ["open_family", "open_on_devices", "this_python"]


def open_on_devices(
    name: str, environment: Environment | None, family: OpenFamily, workers: KeptWorkers | None = None
) -> OpenFamily:
    """Return a family that is loaded on several devices, each in its own process.

    Args:
        name: the family.
        environment: the Python that it runs in; this one, when None.
        family: as it was opened to resolve options.
        workers: processes to use, which get them back; None = each is stopped after its model.
    """
    from vlmprobe.families.pool import SpreadFamily

    place = environment or this_python()
    if workers is None:
        return SpreadFamily(family, lambda _: RemoteFamily(name, place))
    return SpreadFamily(
        family,
        lambda device: workers.take(name, place, device),
        lambda device, worker: workers.keep(name, place, device, worker),
    )


def this_python() -> Environment:
    """Return the environment of this process, for a family in a process of its own."""
    from vlmprobe.families.environments import Environment

    return Environment(sys.executable)


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
