"""Doctor: checks what a run will need, before a night depends on it. Changes nothing and loads no model."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from vlmprobe.errors import VlmprobeError, in_one_line
from vlmprobe.families.machine import find_gpus
from vlmprobe.store.revision import check_revision
from vlmprobe.workflows.database import database_revision
from vlmprobe.workflows.families import list_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmprobe.workspace import Workspace

__all__ = ["Finding", "diagnose"]

_PACKAGES = ("torch", "transformers", "duckdb", "SQLAlchemy", "mlflow")
#: A run of 1,200 pairs of a model of 3B parameters writes 340 MB of states, and MLflow keeps a second copy.
_LEAST_DISK = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a run needs."""

    what: str
    state: str
    """What there is; where it will not do, also what to do."""
    ok: bool = True
    """Whether it will do."""


def diagnose(workspace: Workspace) -> list[Finding]:
    """Look at versions, GPUs, the home, the database, MLflow, the families and the disk, in this order."""
    checks: dict[str, Callable[[Workspace], Iterator[Finding]]] = {
        "versions": _versions,
        "GPU": _gpus,
        "home": _home,
        "database": _database,
        "MLflow": _mlflow,
        "families": _families,
        "disk": _disk,
    }
    return [finding for what, look in checks.items() for finding in _looked(what, look, workspace)]


def _looked(
    what: str, look: Callable[[Workspace], Iterator[Finding]], workspace: Workspace
) -> Iterator[Finding]:
    """Turn an error of one check into its finding, so that the others still say what they see."""
    try:
        yield from look(workspace)
    except VlmprobeError as error:
        yield Finding(what, str(error), ok=False)
    except (OSError, ImportError, RuntimeError) as error:
        yield Finding(what, f"{type(error).__name__}: {in_one_line(error)[:200]}", ok=False)


def _versions(_: Workspace) -> Iterator[Finding]:
    found, missing = [f"vlmprobe {version('vlmprobe')}", f"Python {platform.python_version()}"], []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    yield Finding("versions", ", ".join(found))
    if missing:
        yield Finding("versions", f"not installed; run: pip install {' '.join(missing)}", ok=False)


def _gpus(_: Workspace) -> Iterator[Finding]:
    gpus = find_gpus()
    if not gpus:
        yield Finding("GPU", "none that PyTorch finds; models run on the CPU")
    for gpu in gpus:
        yield Finding("GPU", f"{gpu.name}: {_gib(gpu.free)} of {_gib(gpu.total)} GiB free")


def _home(workspace: Workspace) -> Iterator[Finding]:
    home = workspace.settings.home
    place = _existing(home)
    if not os.access(place, os.W_OK):
        yield Finding("home", f"{home}: {place} is not writable; use another folder with --home", ok=False)
    else:
        yield Finding("home", str(home) if home.is_dir() else f"{home}; the first command creates it")


def _database(workspace: Workspace) -> Iterator[Finding]:
    path = workspace.settings.database_name
    if not workspace.unchecked_database.exists():
        yield Finding("database", f"{path}; the first command creates it")
        return
    revision, _ = database_revision(workspace)
    check_revision(path, revision)
    yield Finding("database", f"{path}, schema {revision}")


def _mlflow(workspace: Workspace) -> Iterator[Finding]:
    tracker = workspace.tracker
    if note := workspace.unshared_note():
        yield Finding("MLflow", note, ok=False)
    if tracker.is_local and not tracker.is_there:
        yield Finding("MLflow", f"{tracker.address}; the first command creates it")
        return
    tracker.check()
    yield Finding("MLflow", f"{tracker.address} answers")


def _families(_: Workspace) -> Iterator[Finding]:
    states = {str(row["family"]): str(row["state"]) for row in list_families()}
    ready = [family for family, state in states.items() if state == "ready"]
    yield Finding("families", f"ready: {', '.join(ready) or 'none'}", ok=bool(ready))
    for family, state in states.items():
        # Only who uses this family needs it.
        if state != "ready":
            yield Finding("families", f"{family}: {state}")


def _disk(workspace: Workspace) -> Iterator[Finding]:
    free = shutil.disk_usage(_existing(workspace.settings.home)).free
    enough = free >= _LEAST_DISK
    advice = "" if enough else "; free some, or use another disk with --home"
    yield Finding("disk", f"{_gib(free)} GiB free{advice}", ok=enough)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
