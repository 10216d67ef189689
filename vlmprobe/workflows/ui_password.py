"""The password that ``vlmprobe ui --auth`` asks for: made once, kept in a folder that only its owner reads.

MLflow keeps the users in a database of its own; it takes the password from here when it makes the first one.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vlmprobe.errors import MissingPackageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["USER", "Passwords", "open_passwords"]

USER = "admin"
_FOLDER, _PASSWORD, _SETTINGS = "ui-auth", "password", "auth.ini"


@dataclass(frozen=True, slots=True)
class Passwords:
    """Where the password is, and what tells the server."""

    file: Path
    environment: dict[str, str]


def open_passwords(home: Path) -> Passwords:
    """Make the password on the first call, and return where it is on every one.

    Raises:
        MissingPackageError: MLflow's part that asks for passwords is not installed.
    """
    if find_spec("flask_wtf") is None:
        raise MissingPackageError("--auth needs the package 'flask-wtf'; run: pip install 'mlflow[auth]'")
    folder = home / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The folder may be older than this program's care for it.
    folder.chmod(0o700)
    file = folder / _PASSWORD
    if not file.exists():
        _write(file, secrets.token_urlsafe(18))
    settings = folder / _SETTINGS
    users = f"sqlite:///{(folder / 'users.db').resolve()}"
    _write(
        settings,
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {users.replace('%', '%%')}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
    )
    return Passwords(
        file,
        {
            "MLFLOW_AUTH_CONFIG_PATH": str(settings),
            "MLFLOW_AUTH_ADMIN_USERNAME": USER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": file.read_text(encoding="utf-8").strip(),
            # Signs the forms of one server's life; a new one with each start is as good.
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        },
    )


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
