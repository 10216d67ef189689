"""Imports a family's class, here or in a worker, and explains in one line why an import fails."""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from vlmprobe.families.worker.engine.family import Family
from vlmprobe.families.worker.environment.packages import MissingPackage, lost_package, missing_packages
from vlmprobe.families.worker.faults import Fault, ModelFault, PackageFault, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["load_code"]

#: Packages that every family needs. If one is missing, transformers raises a misleading error, or none
#: until it loads a model.
_FOUNDATION = ("torch", "numpy", "PIL", "transformers", "tokenizers", "safetensors", "huggingface_hub")
_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def load_code(target: str) -> type[Family]:
    """Import the family at ``module:class``.

    Raises:
        MissingPackage: a package that it needs is not installed.
        PackageFault: a package is there in a version that its code cannot use.
        ModelFault: there is no such module or class, or it is no family.
        Fault: the disk is full, or a package cannot write a file during its import.
    """
    _look_for(_FOUNDATION)
    module_name, _, name = target.partition(":")
    code = getattr(_import(module_name), name, None)
    if code is None:
        raise ModelFault(f"{module_name} has no {name!r}; reinstall its package")
    if not (isinstance(code, type) and issubclass(code, Family)):
        raise ModelFault(f"{target} is not a subclass of vlmprobe.families.worker.api.Family")
    _look_for(code.requires)
    _check_transformers(code.least_transformers)
    return code


def _look_for(names: Iterable[str]) -> None:
    for package in missing_packages(names):
        raise MissingPackage(package)


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except Exception as error:  # (a package's own code runs: it may raise anything)
        package = lost_package(error)
        if package is not None:
            raise MissingPackage(package) from error
        lost = error.name if isinstance(error, ModuleNotFoundError) else None
        if lost is not None and f"{name}.".startswith(f"{lost}."):
            raise ModelFault(f"there is no module {lost}; reinstall its package") from error
        said = one_line(error)
        if _is_refused_write(error):
            raise Fault(
                f"{name} cannot be imported, because no file can be written ({said}); free some space "
                "and rerun the same command"
            ) from error
        raise PackageFault(
            f"{name} cannot be imported ({type(error).__name__}: {said}); it may need other package "
            f"versions than those of {sys.executable}{_transformers_here()}"
        ) from error


def _is_refused_write(error: BaseException) -> bool:
    """Return whether a refused write made the import fail; torch, for one, needs a temporary folder."""
    if not isinstance(error, OSError):
        return False
    return error.errno in _REFUSED or "No usable temporary directory" in str(error)


def _transformers_here() -> str:
    """Describe the installed transformers, the package whose version most often does not fit."""
    version = getattr(sys.modules.get("transformers"), "__version__", None)
    return f", where transformers is {version}" if version else ""


def _check_transformers(least: tuple[int, int]) -> None:
    if least == (0, 0):
        return
    import transformers

    from vlmprobe.families.worker.environment.versions import transformers_version

    if transformers_version() < least:
        needed = ".".join(map(str, least))
        raise PackageFault(
            f"transformers {transformers.__version__} in {sys.executable} is too old; this family needs "
            f"{needed} or newer; run: {sys.executable} -m pip install 'transformers>={needed}'"
        )
