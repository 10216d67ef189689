"""The registry of families: our own, and plug-ins in the entry-point group ``vlmprobe.families``."""

from __future__ import annotations

from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vlmprobe.errors import MissingPackageError, UsageError, unknown_name
from vlmprobe.families.base import error_of
from vlmprobe.families.worker import Fault
from vlmprobe.families.worker.environment.packages import MissingPackage, how_to_get, missing_packages
from vlmprobe.families.worker.wire.family_code import load_code

if TYPE_CHECKING:
    from vlmprobe.families.worker import Family

__all__ = [
    "conflict",
    "family_names",
    "family_target",
    "is_family",
    "load_family_class",
    "missing_packages",
    "plugin_package",
]

GROUP = "vlmprobe.families"

#: The families of this package. Not entry points, since a checkout on the PYTHONPATH has no metadata.
_OWN = {
    "auto": "vlmprobe.families.worker.auto:Auto",
    "molmo": "vlmprobe.families.worker.molmo:Molmo",
    "nvila": "vlmprobe.families.worker.nvila:Nvila",
    "qwen25": "vlmprobe.families.worker.qwen:Qwen25",
    "tiny": "vlmprobe.families.worker.qwen:Tiny",
}


def family_names() -> list[str]:
    """Return the names of all families, installed plug-ins included, in alphabetical order."""
    return sorted(_registered())


def is_family(name: str) -> bool:
    """Return whether there is a family of this name; for those of this package no installed one is looked through."""
    return name in _OWN or name in _registered()


def family_target(name: str) -> str:
    """Return the location of a family's code, ``module:class``, without importing it.

    Raises:
        UsageError: no family has this name, and the message lists them; or two packages offer it.
    """
    registered = _registered()
    if name not in registered:
        raise unknown_name("family", name, sorted(registered))
    said = conflict(name)
    if said is not None:
        # Numbers computed by one would be stored in the runs of the other.
        raise UsageError(
            f"family {name!r} is {said}; uninstall one, or register it under another name (docs/families.md)"
        )
    return registered[name]


def conflict(name: str) -> str | None:
    """Name the packages that offer a family of this name, or return None unless there are several."""
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    packages = {point.dist.name if point.dist else point.module.partition(".")[0] for point in points}
    if name in _OWN:
        packages.add("vlmprobe")
    return f"registered by {' and by '.join(sorted(packages))}" if len(packages) > 1 else None


def load_family_class(name: str) -> type[Family]:
    """Import the class of a family.

    Raises:
        UsageError: no family has this name, the message lists them; or two packages offer it.
        MissingPackageError: a package that the family needs is not installed, or in a version that it cannot use.
        ModelError: the entry point does not lead to a family.
        VlmprobeError: the import failed for another reason, such as a full disk.
    """
    target = family_target(name)
    try:
        return load_code(target)
    except MissingPackage as fault:
        raise MissingPackageError(
            f"family {name!r} needs the package {fault.package!r}, which is not installed; {how_to_get(fault.package)}"
        ) from fault
    except Fault as fault:
        raise error_of(fault.kind, f"family {name!r}: {fault}") from fault


def plugin_package(target: str) -> tuple[str, str] | None:
    """Return name and file of the package of a plug-in's code; None for vlmprobe's own, which a worker has anyway.

    Args:
        target: as :func:`family_target` returns it.
    """
    package = target.partition(":")[0].partition(".")[0]
    spec = None if package == "vlmprobe" else find_spec(package)
    return None if spec is None or spec.origin is None else (package, spec.origin)


def _registered() -> dict[str, str]:
    """Return where each family's code is; this package's own code wins over other packages."""
    return {point.name: point.value for point in entry_points(group=GROUP)} | _OWN
