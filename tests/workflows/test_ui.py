"""Who can reach ``vlmprobe ui``, and what it runs."""

from __future__ import annotations

import base64
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.settings import Settings
from vlmprobe.workflows.ui import serve, ui_server
from vlmprobe.workspace import Workspace

from ..command_line import PATIENCE_S

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is warned of


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """Return settings of a folder of the test's own."""
    return Settings.load(tmp_path / "home", environ={}, folder=tmp_path)


class Told:
    """A console that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Remember a remark."""

    def warn(self, text: str) -> None:
        """Remember a warning."""
        self.lines.append(text)


def test_nobody_else_gets_in_by_default(home: Settings) -> None:
    """127.0.0.1, and no remark about it; no telemetry, no jobs, nothing imported from the working directory."""
    start = ui_server(home, host="127.0.0.1", port=5000, auth=False)
    assert start.command[start.command.index("--host") + 1] == "127.0.0.1"
    assert start.notes == ()
    found = {**os.environ, **start.environment}
    assert found["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert found["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert start.environment["PYTHONSAFEPATH"] == "1"


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.5", "lab.example"])
def test_listening_wider_is_warned_of(home: Settings, host: str) -> None:
    """The warning says what others can do and which option asks for a password."""
    (note,) = ui_server(home, host=host, port=5001, auth=False).notes
    assert note.startswith(
        f"listening on {host}: anyone who can reach port 5001 of this machine can read, change and delete"
    )
    assert "pass --auth to require one" in note


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.5", "::1", "localhost"])
def test_this_machines_own_addresses_are_not(home: Settings, host: str) -> None:
    """They are all reached from here alone."""
    assert ui_server(home, host=host, port=5001, auth=False).notes == ()


def test_a_password_is_made_once_and_is_its_owners(home: Settings) -> None:
    """Folder 0700, files 0600; the password is in no command line and in no note."""
    first, second = (ui_server(home, host=EVERYWHERE, port=5000, auth=True) for _ in range(2))
    password = first.environment["MLFLOW_AUTH_ADMIN_PASSWORD"]
    assert len(password) >= 20
    assert second.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] == password
    assert not [text for text in (*first.command, *first.notes) if password in text]
    folder = home.home / "ui-auth"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("host", "port", "says"),
    [
        ("127.0.0.1", 0, "use a port from 1 to 65535"),
        ("no such host", 5000, "not an address of this machine"),
        ("192.0.2.1", 5000, "Cannot assign requested address"),
    ],
)
def test_an_address_that_is_none_is_a_usage_error(home: Settings, host: str, port: int, says: str) -> None:
    """Before anything is started or written."""
    with pytest.raises(UsageError, match=says):
        serve(Workspace(home, Told()), port=port, host=host, announce=print)  # type: ignore[arg-type]
    assert not home.home.exists()


def test_a_port_that_is_taken_is_a_usage_error(home: Settings) -> None:
    """Another UI may be running."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            UsageError, match=f"--port {port} is already in use on 127.0.0.1; use another port"
        ):
            serve(Workspace(home, Told()), port=port, announce=print)  # type: ignore[arg-type]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _status(address: str, password: str | None = None) -> int:
    request = urllib.request.Request(address)  # noqa: S310 - our own http address
    if password is not None:
        token = base64.b64encode(f"admin:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)


@pytest.mark.full
def test_with_auth_only_the_password_gets_in(shell: Any, tmp_path: Path) -> None:
    """MLflow's pages and its interface answer 401 without it, from another address of this machine too."""
    home, port = tmp_path / "home", _free_port()
    process = shell.start("ui", "--host", EVERYWHERE, "--port", port, "--auth", "--home", home)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().partition("/#")[0]
        assert address == f"http://127.0.0.1:{port}"
        password = (home / "ui-auth" / "password").read_text()
        experiments = f"{address}/api/2.0/mlflow/experiments/search?max_results=1"
        assert [_status(experiments, each) for each in (None, "password1234", password)] == [401, 401, 200]
        assert _status(address + "/") == 401
        assert stat.S_IMODE((home / "mlflow-server.log").stat().st_mode) == 0o600
        assert password not in (home / "mlflow-server.log").read_text(errors="replace")
    finally:
        process.send_signal(signal.SIGINT)
        ran = shell.finish(process)
    assert ran.code in {0, 130}
    assert "the user is 'admin'" in ran.err
    assert password not in ran.out + ran.err


@pytest.mark.full
def test_the_server_listens_on_this_machine_alone(shell: Any, tmp_path: Path) -> None:
    """What the system says of its sockets; and none of its processes is a job runner or has telemetry on."""
    home, port = tmp_path / "home", _free_port()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mlflow.py").write_text("raise SystemExit('run from the working directory')")
    # The command itself: 'python -m vlmprobe' would import from the working directory before vlmprobe runs.
    command = Path(sys.executable).with_name("vlmprobe")
    process = subprocess.Popen(
        [command, "ui", "--port", str(port), "--home", home],
        cwd=tmp_path / "work",
        env=shell.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}/#")
        assert _status(f"http://127.0.0.1:{port}/health") == 200
        listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine = {
            each[1].partition(":")[0]
            for each in listening
            if each[3] == "0A" and each[1].endswith(f":{port:04X}")
        }
        assert mine == {"0100007F"}
        environments = [_environ(child) for child in _children(process.pid)]
        assert environments
        for environ in environments:
            assert "MLFLOW_DISABLE_TELEMETRY=true" in environ
            assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in environ
    finally:
        process.send_signal(signal.SIGINT)
        assert shell.finish(process).code in {0, 130}


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _environ(pid: int) -> list[str]:
    return [os.fsdecode(each) for each in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")]
