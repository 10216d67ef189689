"""Doctor: checks what a run will need, before a night depends on it. Loads no model, and leaves all as it was."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from vlmprobe.families.machine import find_gpus
from vlmprobe.store.revision import check_revision
from vlmprobe.verification.servers import (
    Finding,
    check_mlflow,
    check_postgres,
    check_reader,
    check_shared_folder,
    existing,
    gib,
    looked,
)
from vlmprobe.workflows.database import database_revision
from vlmprobe.workflows.families import list_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmprobe.workspace import Workspace

__all__ = ["Finding", "diagnose"]

_PACKAGES = ("torch", "transformers", "duckdb", "SQLAlchemy", "mlflow")
#: A run of 1,200 pairs of a model of 3B parameters writes 340 MB of states, and MLflow keeps a second copy.
_LEAST_DISK = 2**30


def diagnose(workspace: Workspace) -> list[Finding]:
    """Look at what a run needs, in this order: versions, GPUs, the home, the database, MLflow, families, the disk.

    What hosts share is looked at as well, where the settings name it: a Postgres server and our role there, an MLflow
    server and its artifacts, a folder.
    """
    checks: dict[str, Callable[[Workspace], Iterator[Finding]]] = {
        "versions": _versions,
        "GPU": _gpus,
        "home": _home,
        "database": _database,
        "reader": check_reader,
        "MLflow": _mlflow,
        "shared folder": check_shared_folder,
        "families": _families,
        "disk": _disk,
    }
    return [finding for what, look in checks.items() for finding in looked(what, look, workspace)]


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
        yield Finding("GPU", f"{gpu.name}: {gib(gpu.free)} of {gib(gpu.total)} GiB free")


def _home(workspace: Workspace) -> Iterator[Finding]:
    home = workspace.settings.home
    place = existing(home)
    if not os.access(place, os.W_OK):
        yield Finding("home", f"{home}: {place} is not writable; use another folder with --home", ok=False)
    else:
        yield Finding("home", str(home) if home.is_dir() else f"{home}; the first command creates it")


def _database(workspace: Workspace) -> Iterator[Finding]:
    if workspace.settings.is_postgres:
        yield from check_postgres(workspace)
        return
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
    if tracker.is_server:
        yield from check_mlflow(workspace)
    else:
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
    free = shutil.disk_usage(existing(workspace.settings.home)).free
    enough = free >= _LEAST_DISK
    advice = "" if enough else "; free some, or use another disk with --home"
    yield Finding("disk", f"{gib(free)} GiB free{advice}", ok=enough)
