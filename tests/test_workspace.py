"""A workspace opens a home for every command, and for a notebook."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import vlmprobe
from vlmprobe.errors import DatabaseError
from vlmprobe.settings import Settings
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


def test_a_home_is_opened_without_being_made(tmp_path: Path) -> None:
    """Looking at a home that is not there says so, and leaves nothing behind."""
    workspace = Workspace.open(tmp_path / "home")
    with pytest.raises(DatabaseError, match="no database"):
        _ = workspace.database
    assert not (tmp_path / "home").exists()


def test_the_database_is_made_on_request(tmp_path: Path) -> None:
    """What writes creates it first; then it is the database of this home."""
    workspace = Workspace.open(tmp_path / "home")
    workspace.create_database()
    assert workspace.database.path == workspace.settings.database_path
    assert workspace.database.path.exists()


def test_an_open_workspace_does_not_hold_the_database(tmp_path: Path) -> None:
    """Two workspaces of one home take turns, transaction by transaction."""
    first, second = (Workspace.open(tmp_path / "home") for _ in range(2))
    first.create_database()
    for workspace in (first, second, first):
        with workspace.database.transaction() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM runs").scalar() == 0


def test_the_library_face_loads_on_first_use() -> None:
    """Importing vlmprobe is importing nothing that is slow, nor are its names; each loads what it needs when called."""
    heavy = {
        "torch",
        "transformers",
        "mlflow",
        "duckdb",
        "sqlalchemy",
        "numpy",
        "pyarrow",
        "vlmprobe.library",
        "vlmprobe.workspace",
    }
    code = "import sys, vlmprobe; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
    code = "import sys; from vlmprobe import Workspace, analyze, extract, merge; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not (heavy - {"vlmprobe.library", "vlmprobe.workspace"}) & set(done.stdout.split())
    for name in vlmprobe.__all__:
        assert getattr(vlmprobe, name)
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        _ = vlmprobe.nothing_of_this_name


def test_a_deleted_working_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says which folder is gone, and not only that something is."""
    from vlmprobe.errors import UsageError
    from vlmprobe.settings import Settings

    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    monkeypatch.setenv("PWD", str(gone))
    gone.rmdir()
    with pytest.raises(UsageError, match=r"the working directory \(.*gone\) cannot be read"):
        Settings.load()


def test_a_shared_database_beside_hidden_states_that_are_not_is_noted(tmp_path: Path) -> None:
    """Unless the home lies in a folder that the hosts share, or MLflow is a server; nothing is opened for it."""
    environ = {"VLMPROBE_DATABASE_URL": "postgresql://me@host/study"}
    given = {
        "alone": {},
        "in a shared folder": {"VLMPROBE_STORE_ROOT": str(tmp_path)},
        "beside it": {"VLMPROBE_STORE_ROOT": str(tmp_path / "another")},
        "with a server": {"MLFLOW_TRACKING_URI": "http://mlflow.lab:5000"},
    }
    noted = {
        name
        for name, more in given.items()
        if Workspace(
            Settings.load(tmp_path / "home", environ=environ | more, folder=tmp_path)
        ).unshared_note()
    }
    assert noted == {"alone", "beside it"}
