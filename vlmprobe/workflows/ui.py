"""Serves the MLflow UI, by default to this machine only, at the view that compares the scales."""

from __future__ import annotations

import errno
import ipaddress
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from vlmprobe.errors import MissingPackageError, ReadOnlyError, UsageError, VlmprobeError
from vlmprobe.paths import sqlite_address
from vlmprobe.settings import without_password
from vlmprobe.store.mlflow_connection import mlflow_environment
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmprobe.settings import Settings

__all__ = ["LOOPBACK", "USER", "Passwords", "UiServer", "chart_url", "open_passwords", "serve", "ui_server"]

#: Reachable only for programs on this machine.
LOOPBACK = "127.0.0.1"
_START_TIMEOUT_S = 120.0
USER = "admin"
_FOLDER, _PASSWORD, _SETTINGS = "ui-auth", "password", "auth.ini"


def chart_url(base: str, experiment_id: str) -> str:
    """Return the address of the chart view of an experiment's runs."""
    return f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"


@dataclass(frozen=True, slots=True)
class UiServer:
    """How MLflow's server is started."""

    command: tuple[str, ...]
    environment: dict[str, str]
    """Variables that it gets in addition to this process's own."""
    notes: tuple[str, ...]
    """What the user should know."""


def ui_server(settings: Settings, *, host: str, port: int, auth: bool) -> UiServer:
    """Build the command that starts a server; with ``auth``, create its password files in the home.

    Raises:
        MissingPackageError: MLflow's part that asks for passwords is not installed.
    """
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", settings.tracking_uri),
        *("--default-artifact-root", settings.artifacts.as_uri()),
        *("--host", host, "--port", str(port), "--workers", "1"),
    ]
    # 'python -m mlflow' must not run an mlflow.py in the working directory.
    environment = mlflow_environment(settings) | {"PYTHONSAFEPATH": "1"}
    notes = []
    if auth:
        passwords = open_passwords(settings.home)
        command += ["--app-name", "basic-auth"]
        environment |= passwords.environment
        notes.append(f"the user is {USER!r}, and the password is in {passwords.file}")
    elif not _is_loopback(host):
        notes.append(
            f"listening on {host}: anyone who can reach port {port} of this machine can read, change and delete "
            "every run without a password; pass --auth to require one, or omit --host to keep others out"
        )
    return UiServer(tuple(command), environment, tuple(notes))


def serve(
    workspace: Workspace,
    *,
    port: int,
    host: str = LOOPBACK,
    auth: bool = False,
    announce: Callable[[str], object],
) -> None:
    """Serve the local MLflow store until Ctrl-C; print the address once it answers.

    If the store is behind a server, there is nothing to serve, and only its address is printed.

    Args:
        workspace: the workspace with the store.
        port: the port to listen on.
        host: the address to listen on; anything but loopback triggers a warning.
        auth: whether to require a user name and password.
        announce: called with the address of the charts.

    Raises:
        UsageError: the port is taken or out of range, or the host is no address of this machine.
        MissingPackageError: MLflow's part that asks for passwords is not installed.
        ReadOnlyError: the home cannot be written, and a password would have to be kept in it.
        VlmprobeError: the server ended or did not answer.
    """
    settings, console, tracker = workspace.settings, workspace.console, workspace.tracker
    if not tracker.is_local:
        address = without_password(settings.tracking_uri).rstrip("/")
        announce(chart_url(address, tracker.experiment_id()))
        return
    _check_address(host, port)
    with TemporaryDirectory(prefix="vlmprobe-ui-") as made:
        folder, kept_in = Path(made), settings.home
        if tracker.is_read_only:
            if auth:
                raise ReadOnlyError(
                    str(settings.home), "--auth keeps a password in it; use a copy of it, with --home"
                )
            console.say("MLflow's store is read-only: this shows a copy of it, whose changes are lost")
            settings, kept_in = tracker.copied_to(folder), folder
            tracker = Workspace(settings, console).tracker
        experiment_id = tracker.experiment_id()
        start = ui_server(settings, host=host, port=port, auth=auth)
        for note in start.notes:
            console.warn(note)
        console.say("starting the MLflow server")
        # The server starts uvicorn, which imports from its working directory, so this is an empty one.
        (empty := folder / "empty").mkdir()
        with _running(start, empty, kept_in / "mlflow-server.log") as (server, log):
            base = f"http://{_reached_at(host)}:{port}"
            try:
                _wait_until_it_answers(base, server, str(log))
                announce(chart_url(base, experiment_id))
                console.say("stop it with Ctrl-C")
                server.wait()
            except KeyboardInterrupt:
                console.say("stopped")


@contextmanager
def _running(start: UiServer, folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Start the server in a working directory; yield it and its log; end it with its workers."""
    # The log lists requests, which not everyone who may read the home's other files should see.
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:  # noqa: PTH123
        # Its own session: only we get Ctrl-C, and we stop the server and its workers together.
        server = subprocess.Popen(  # noqa: S603 - our own interpreter
            start.command,
            cwd=folder,
            env={**os.environ, **start.environment},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield server, log
        finally:
            _end(server)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reached_at(host: str) -> str:
    """Return the host under which this machine reaches the server."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return LOOPBACK
    return f"[{host}]" if ":" in host else host


def _check_address(host: str, port: int) -> None:
    import socket

    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: use a port from 1 to 65535")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise UsageError(
            f"--host {host[:60]!r}: not an address of this machine; omit it to use {LOOPBACK}"
        ) from None
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise UsageError(
                f"--port {port} is already in use on {host}; use another port"
                if error.errno == errno.EADDRINUSE
                else f"--host {host}, --port {port}: {error.strerror}"
            ) from None


def _wait_until_it_answers(base: str, server: subprocess.Popen[bytes], log: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise VlmprobeError(f"the MLflow server exited with code {server.returncode}; see its log: {log}")
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):  # noqa: S310 - our own http address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise VlmprobeError(
        f"the MLflow server did not answer within {_START_TIMEOUT_S:.0f} s; see its log: {log}"
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    import signal

    if server.poll() is not None:
        return
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@dataclass(frozen=True, slots=True)
class Passwords:
    """Where the password is, and the variables that configure the server."""

    file: Path
    environment: dict[str, str]


def open_passwords(home: Path) -> Passwords:
    """Create the password on the first call; return where it is.

    Raises:
        MissingPackageError: MLflow's part that asks for passwords is not installed.
    """
    if find_spec("flask_wtf") is None:
        raise MissingPackageError("--auth needs the package 'flask-wtf'; run: pip install 'mlflow[auth]'")
    folder = home / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # An older version may have created the folder with other permissions.
    folder.chmod(0o700)
    file = folder / _PASSWORD
    if not file.exists():
        _write(file, secrets.token_urlsafe(18))
    settings = folder / _SETTINGS
    users = sqlite_address((folder / "users.db").resolve())
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
            # Signs forms while one server runs, so each start may have a new one.
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
        },
    )


def _write(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
