"""An MLflow server that can be killed and brought back, and a gate before it that breaks in other ways."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

if TYPE_CHECKING:
    from pathlib import Path

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # The host's own name would be refused behind the gate.
    "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
}
#: It takes seconds, and minutes where much else is running.
_PATIENCE_S = 300.0


def free_port() -> int:
    """Return a port of 127.0.0.1 at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class MlflowServer:
    """``mlflow server`` on a store of its own."""

    options: tuple[str, ...] = ()
    """More options of the command."""

    def __init__(
        self, folder: Path, artifacts: str | None = None, *, store: str | None = None, **environ: str
    ) -> None:
        """Store where it keeps its runs and artifacts: in the folder, unless other addresses are given."""
        self._folder = folder
        self._store = store or f"sqlite:///{folder / 'mlflow.db'}"
        self._artifacts = artifacts or str(folder / "artifacts")
        self._environ = environ
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again on the same port, and return once it answers."""
        assert self._process is None
        command = (
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", self._store, *self.options),
            *("--artifacts-destination", self._artifacts, "--workers", "1"),
        )
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=os.environ | _QUIET | self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < deadline, "the MLflow server does not come up"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/health", timeout=2) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL it and its workers, if it runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def runs(self, run_id: str) -> list[str]:
        """Return the MLflow runs that a user sees of one of our runs, straight from the store."""
        return [
            row[0]
            for row in self._ask(
                "SELECT runs.run_uuid FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
                "WHERE tags.key = 'vlmprobe.run_id' AND tags.value = ? AND runs.lifecycle_stage = 'active'",
                run_id,
            )
        ]

    def values(self, mlflow_run_id: str) -> list[float]:
        """Return the value of every point of an MLflow run, in order."""
        return [
            row[0]
            for row in self._ask("SELECT value FROM metrics WHERE run_uuid = ? ORDER BY value", mlflow_run_id)
        ]

    def artifacts(self, mlflow_run_id: str) -> dict[str, bytes]:
        """Return the hidden states of an MLflow run as the server keeps them.

        A server that is killed leaves what it was just receiving in a hidden file of its own, which it never shows.
        """
        folders = self._folder.glob(f"artifacts/*/{mlflow_run_id}/artifacts/hidden_states")
        return {
            path.name: path.read_bytes()
            for folder in folders
            for path in folder.iterdir()
            if not path.name.startswith(".artifact.uploading.")
        }

    def _ask(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self._folder / "mlflow.db", timeout=30)) as store:
            return store.execute(sql, values).fetchall()


class Gate:
    """A small HTTP server before another: lets requests through, or answers 500, or hangs, or loses answers.

    ``lost`` is the meanest: the server behind does what it is asked, and nobody learns that it did.
    """

    def __init__(self, port_behind: int) -> None:
        self.mode = "open"
        self.asked = 0
        """Requests that came."""
        self._dropped = threading.Event()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gate._handle(self, port_behind)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def drop(self) -> None:
        """Drop every request that hangs, and from now on those that would."""
        self._dropped.set()

    def close(self) -> None:
        self.drop()
        self._server.shutdown()
        self._server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler, port: int) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        mode = self.mode
        self.asked += 1
        if mode == "hang":
            self._dropped.wait(120)
            return
        if mode == "500":
            status, headers, answer = 500, [], b'{"error_code": "INTERNAL_ERROR", "message": "broken"}'
        else:
            status, headers, answer = _ask_behind(port, request, body)
        if mode == "lost":
            self._dropped.wait(120)
            return
        with contextlib.suppress(OSError):  # whoever asked may be gone
            request.send_response(status)
            for name, value in headers:
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)


def _ask_behind(
    port: int, request: BaseHTTPRequestHandler, body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    behind = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        behind.request(request.command, request.path, body, headers)
        answer = behind.getresponse()
        kept = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}
        ]
        return answer.status, kept, answer.read()
    except OSError:
        return 502, [], b"{}"
    finally:
        behind.close()
