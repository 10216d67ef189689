"""Which families there are: found through the entry-point group ``vlmprobe.families``, imported late."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

from vlmprobe.errors import MissingPackageError, ModelError, unknown_name
from vlmprobe.families.worker import Family

__all__ = ["family_names", "family_target", "load_family_class"]

GROUP = "vlmprobe.families"

#: The families of this package once more: a checkout on the PYTHONPATH has no metadata to find them in.
_OWN = {
    "auto": "vlmprobe.families.worker.auto:Auto",
    "qwen25": "vlmprobe.families.worker.qwen:Qwen25",
    "tiny": "vlmprobe.families.worker.qwen:Tiny",
}
#: Packages whose install name is not their import name.
_INSTALL_NAMES = {"PIL": "pillow", "yaml": "pyyaml", "cv2": "opencv-python", "olmo": "ai2-olmo"}


def family_names() -> list[str]:
    """Return the names of all families, installed plug-ins included, in alphabetical order."""
    return sorted(_registered())


def family_target(name: str) -> str:
    """Return where the code of a family is, ``module:class``, without importing it.

    Raises:
        UsageError: no family has this name; the message lists them.
    """
    registered = _registered()
    if name not in registered:
        raise unknown_name("family", name, sorted(registered))
    return registered[name]


def load_family_class(name: str) -> type[Family]:
    """Import the class of a family.

    Raises:
        UsageError: no family has this name; the message lists them.
        MissingPackageError: a package that the family needs is not installed.
        ModelError: the entry point does not lead to a family.
    """
    target = family_target(name)
    module_name, _, attribute = target.partition(":")
    try:
        loaded = getattr(import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        raise _missing(name, error.name or module_name) from error
    except AttributeError as error:
        raise ModelError(
            f"family {name!r}: {module_name} has no {attribute!r}; reinstall its package"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Family)):
        raise ModelError(f"family {name!r}: {target} is no subclass of vlmprobe.families.worker.Family")
    for package in loaded.requires:
        if find_spec(package) is None:
            raise _missing(name, package)
    return loaded


def _registered() -> dict[str, str]:
    points: tuple[EntryPoint, ...] = tuple(entry_points(group=GROUP))
    return _OWN | {point.name: point.value for point in points}


def _missing(family: str, module: str) -> MissingPackageError:
    package = module.partition(".")[0]
    install = _INSTALL_NAMES.get(package, package)
    return MissingPackageError(
        f"family {family!r} needs the package {package!r}, which is not installed; run: pip install {install}"
    )
