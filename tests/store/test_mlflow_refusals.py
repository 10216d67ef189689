"""What MLflow's refusals become: the whole message in one line, and whether waiting helps."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import TrackingError
from vlmprobe.store.delivery import Delivery, warn_offline
from vlmprobe.store.mlflow_connection import MlflowConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vlmprobe.settings import Settings

#: Kind of address -> address in a folder, a piece of the message, whether it will refuse again.
ADDRESSES = {
    "a folder": ("{folder}/mlruns", "MLFLOW_ALLOW_FILE_STORE=true", True),
    "a folder as a URL": ("file://{folder}/mlruns", "mlflow migrate-filestore", True),
    "a scheme that MLflow does not know": ("ftp://127.0.0.1/mlflow", "ftp", True),
    "a database that SQLAlchemy does not know": ("mysql+nosuch://127.0.0.1/mlflow", "nosuch", True),
    "a database whose driver is not installed": (
        "mssql://127.0.0.1/mlflow",
        "install the missing package",
        True,
    ),
    "a server that is away": ("http://127.0.0.1:1", "Connection refused", False),
}
#: Status and body of a server's answer -> a piece of the message, whether it will refuse again.
ANSWERS = {
    "no password": (401, "Authorization required", "401", True),
    "not allowed": (403, '{"error_code": "PERMISSION_DENIED", "message": "read only"}', "read only", True),
    "a bad request": (
        400,
        '{"error_code": "INVALID_PARAMETER_VALUE", "message": "bad name"}',
        "bad name",
        True,
    ),
    "too many requests": (429, "slow down", "too many 429 error responses", False),
    "broken": (500, "oops", "too many 500 error responses", False),
    "a proxy's page": (404, "<html>\n" + "<p>There is nothing here.</p>\n" * 1000, "...", True),
}


def _refusal(settings: Settings, uri: str) -> TrackingError:
    environment = {**settings.environment, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    with pytest.raises(TrackingError) as told:
        MlflowConnection(replace(settings, tracking_uri=uri, environment=environment)).check()
    return told.value


@pytest.mark.parametrize("kind", ADDRESSES)
def test_an_address(settings: Settings, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is MLflow's own, whole, with its way out."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri, piece, lasts = ADDRESSES[kind]
    refusal = _refusal(settings, uri.format(folder=tmp_path))
    assert piece in str(refusal)
    assert "\n" not in str(refusal)
    assert refusal.lasts is lasts


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_of_a_server(settings: Settings, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a later try may get past, and those that need something else first."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    status, body, piece, lasts = ANSWERS[kind]
    with _server(status, body) as uri:
        refusal = _refusal(settings, uri)
    assert piece in str(refusal)
    assert "\n" not in str(refusal)
    assert len(str(refusal)) < 2200
    assert refusal.lasts is lasts


def test_a_store_of_a_newer_mlflow(settings: Settings, empty_mlflow: Path, tmp_path: Path) -> None:
    """Its schema is unknown here; the message says what MLflow says about that."""
    newer = shutil.copy(empty_mlflow, tmp_path / "newer.db")
    with closing(sqlite3.connect(newer)) as store:
        store.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        store.commit()
    assert "ffffffffffff" in str(_refusal(settings, f"sqlite:///{newer}"))


@pytest.mark.parametrize(
    ("lasts", "promise", "state"),
    [
        (False, "upload it later with 'vlmprobe sync'", "waiting"),
        (True, "'vlmprobe sync' uploads it, but only after this is mended", "refused"),
    ],
)
def test_nothing_is_promised_that_cannot_come(lasts: bool, promise: str, state: str) -> None:
    """Where a setting is wrong, ``sync`` alone would fail for ever."""
    told: list[str] = []
    problem = TrackingError("MLflow at x: no", lasts=lasts)
    warn_offline(told.append, problem)
    (line,) = told
    assert line.startswith("MLflow at x: no; everything is saved")
    assert line.endswith(promise)
    assert Delivery(0, 1, problem).state == state


@contextmanager
def _server(status: int, body: str) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST  # noqa: N815 - the base class's names

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
