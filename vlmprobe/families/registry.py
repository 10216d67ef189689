"""Which families there are: found through the entry-point group ``vlmprobe.families``, imported late."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vlmprobe.errors import MissingPackageError, ModelError, UsageError, unknown_name
from vlmprobe.families.worker import Family

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["family_names", "family_target", "has_code", "load_family_class", "missing_packages"]

GROUP = "vlmprobe.families"

#: The families of this package once more: a checkout on the PYTHONPATH has no metadata to find them in.
_OWN = {
    "auto": "vlmprobe.families.worker.auto:Auto",
    "molmo": "vlmprobe.families.worker.molmo:Molmo",
    "nvila": "vlmprobe.families.worker.nvila:Nvila",
    "qwen25": "vlmprobe.families.worker.qwen:Qwen25",
    "tiny": "vlmprobe.families.worker.qwen:Tiny",
}
_OWN_CODE = "vlmprobe.families.worker."
#: Packages whose install name is not their import name.
_INSTALL_NAMES = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "cv2": "opencv-python",
}
#: Packages that 'pip install' does not get, or that cannot live beside this one's, and what to do instead.
_ELSEWHERE = {
    # PyPI's ai2-olmo is another model's, and an installed copy of the right one lacks its sub-packages.
    "olmo": "run: git clone https://github.com/allenai/molmo && pip install --no-deps -e molmo",
    "llava": "it wants an older transformers: install VILA in an environment of its own and name that in "
    'vlmprobe.toml, [families.nvila] python = "/path/to/bin/python" (docs/scales.md)',
}


def family_names() -> list[str]:
    """Return the names of all families, installed plug-ins included, in alphabetical order."""
    return sorted(_registered())


def family_target(name: str) -> str:
    """Return where the code of a family is, ``module:class``, without importing it.

    Raises:
        UsageError: no family has this name; the message lists them. Or its scales are known, but this version of
            vlmprobe has no code for it.
    """
    registered = _registered()
    if name not in registered:
        raise unknown_name("family", name, sorted(registered))
    if not has_code(name):
        raise UsageError(
            f"family {name!r}: this version of vlmprobe knows its scales, but has no code to run it yet; "
            "results of it can be imported ('vlmprobe import'), and a package can add the code (docs/families.md)"
        )
    return registered[name]


def has_code(name: str) -> bool:
    """Return whether a family of this package has its code in this version; a plug-in's is taken for granted."""
    module = _registered().get(name, "").partition(":")[0]
    return not module.startswith(_OWN_CODE) or find_spec(module) is not None


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
        lost = error.name or module_name
        if f"{module_name}.".startswith(f"{lost}.") and not missing_packages([lost]):
            raise ModelError(f"family {name!r}: there is no module {lost}; reinstall its package") from error
        raise _missing(name, lost) from error
    except AttributeError as error:
        raise ModelError(
            f"family {name!r}: {module_name} has no {attribute!r}; reinstall its package"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, Family)):
        raise ModelError(f"family {name!r}: {target} is no subclass of vlmprobe.families.worker.Family")
    for package in missing_packages(loaded.requires):
        raise _missing(name, package)
    return loaded


def missing_packages(names: Iterable[str]) -> list[str]:
    """Return the top-level packages among these import names that are not installed here; imports none."""
    packages = (name.partition(".")[0] for name in names)
    return [package for package in packages if find_spec(package) is None]


def _registered() -> dict[str, str]:
    points: tuple[EntryPoint, ...] = tuple(entry_points(group=GROUP))
    return _OWN | {point.name: point.value for point in points}


def _missing(family: str, module: str) -> MissingPackageError:
    package = module.partition(".")[0]
    what = _ELSEWHERE.get(package) or f"run: pip install {_INSTALL_NAMES.get(package, package)}"
    return MissingPackageError(
        f"family {family!r} needs the package {package!r}, which is not installed; {what}"
    )
