"""Finds out which package is missing and how to install it."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vlmprobe.families.worker.faults import PackageFault

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MissingPackage", "how_to_get", "install_name", "lost_package", "missing_packages"]

#: Packages whose install name is not their import name.
_INSTALL_NAMES = {
    "PIL": "pillow",
    "attr": "attrs",
    "cv2": "opencv-python",
    "hydra": "hydra-core",
    "yaml": "pyyaml",
}
#: Packages that 'pip install' cannot get, or that conflict with ours, and what to do instead.
_ELSEWHERE = {
    # PyPI's ai2-olmo is another model's, and an installed copy of the right one lacks its sub-packages.
    "olmo": "run: git clone https://github.com/allenai/molmo && {pip} install --no-deps -e molmo",
    "llava": "it needs an older transformers: install VILA in a separate environment and set that in "
    'vlmprobe.toml, [families.nvila] python = "/path/to/bin/python" (docs/scales.md)',
}


class MissingPackage(PackageFault):
    """A package is not installed where a family's code runs."""

    def __init__(self, package: str) -> None:
        """Build the message for the Python that runs this; ``package`` is its import name."""
        super().__init__(
            f"the environment of {sys.executable} lacks the package {package!r}; "
            f"{how_to_get(package, f'{sys.executable} -m pip')}"
        )
        self.package = package


def install_name(package: str) -> str:
    """Return the name that pip uses for the package of this import name."""
    return _INSTALL_NAMES.get(package, package)


def how_to_get(package: str, pip: str = "pip") -> str:
    """Explain how to install the package of this import name with this pip."""
    elsewhere = _ELSEWHERE.get(package)
    return elsewhere.format(pip=pip) if elsewhere else f"run: {pip} install {install_name(package)}"


def missing_packages(names: Iterable[str]) -> list[str]:
    """Return the top-level packages among these import names that are not installed here; imports none."""
    packages = (name.partition(".")[0] for name in names)
    return [package for package in packages if find_spec(package) is None]


def lost_package(error: BaseException) -> str | None:
    """Return the package whose absence made an import fail; None if it failed for another reason."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PackageNotFoundError):
            # From transformers' own check of versions, which puts its whole message where a name should be.
            found = re.search(r"'([\w-]+)", str(cause))
            return found.group(1) if found else None
        if isinstance(cause, ModuleNotFoundError) and cause.name and missing_packages([cause.name]):
            return cause.name.partition(".")[0]
        # transformers imports lazily and raises another error from the one that matters. Errors that it
        # recovered from (__context__) are ignored, since those come from optional packages.
        cause = cause.__cause__
    return None
