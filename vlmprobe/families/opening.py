"""Opens a family: in this process, in another Python environment, or in processes of its models' own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.families.environments import Environment
from vlmprobe.families.kept_workers import KeptFamily
from vlmprobe.families.local import LocalFamily
from vlmprobe.families.registry import load_family_class
from vlmprobe.families.remote import RemoteFamily

if TYPE_CHECKING:
    from vlmprobe.families.base import OpenFamily
    from vlmprobe.families.kept_workers import KeptWorkers

__all__ = ["open_family", "open_in_processes"]


def open_in_processes(name: str, environment: Environment | None, workers: KeptWorkers) -> KeptFamily:
    """Return a family whose models have a process for each of their devices.

    Args:
        name: the family.
        environment: the Python that they run in; this one, when None.
        workers: gives the processes, and takes them back after each model.
    """
    return KeptFamily(name, environment or Environment.of_this_process(), workers)


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
