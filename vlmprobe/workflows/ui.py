"""The MLflow UI, on this machine only, opened at the view that compares the scales."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.settings import without_password
from vlmprobe.store.tracking import Tracker, mlflow_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.settings import Settings
    from vlmprobe.workflows.console import Console

__all__ = ["chart_url", "serve"]

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 120.0


def chart_url(base: str, experiment_id: str) -> str:
    """Return the address of the chart view of an experiment's runs."""
    return f"{base}/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"


def serve(settings: Settings, console: Console, *, port: int, announce: Callable[[str], object]) -> None:
    """Serve the local MLflow store until Ctrl-C; print the address once it answers.

    For a store behind a server there is nothing to serve: its address is printed.

    Raises:
        UsageError: the port is taken or out of range.
        VlmprobeError: the server ended or did not answer.
    """
    tracker = Tracker(settings)
    if not tracker.is_local:
        address = without_password(settings.tracking_uri).rstrip("/")
        announce(chart_url(address, tracker.experiment_id()))
        return
    _check_port(port)
    experiment_id = tracker.experiment_id()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        settings.tracking_uri,
        "--default-artifact-root",
        settings.artifacts.as_uri(),
        "--host",
        _HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    environment = {**os.environ, **mlflow_environment(settings)}
    log = settings.home / "mlflow-server.log"
    console.say("starting the MLflow server")
    with log.open("wb") as stream:
        # Its own session: Ctrl-C reaches us alone, and we end the server and its workers together.
        server = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        base = f"http://{_HOST}:{port}"
        try:
            _wait_until_it_answers(base, server, str(log))
            announce(chart_url(base, experiment_id))
            console.say("Ctrl-C ends it")
            server.wait()
        except KeyboardInterrupt:
            console.say("stopped")
        finally:
            _end(server)


def _check_port(port: int) -> None:
    import socket

    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: ports are numbered 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            raise UsageError(f"--port {port} is taken on {_HOST}; give another") from None


def _wait_until_it_answers(base: str, server: subprocess.Popen[bytes], log: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise VlmprobeError(f"the MLflow server ended with code {server.returncode}; its log is {log}")
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=2):  # noqa: S310 - our own http address
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise VlmprobeError(f"the MLflow server did not answer within {_START_TIMEOUT_S:.0f} s; its log is {log}")


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
