"""``vlmprobe doctor`` on real MLflow servers, before a folder or a store: well, down and misconfigured."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.settings import Settings
from vlmprobe.store.tracking import Tracker
from vlmprobe.verification.servers import Finding, check_mlflow
from vlmprobe.workspace import Workspace

from ..faults.mlflow_server import MlflowServer
from ..faults.s3_store import S3Store
from ..postgres_server import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..postgres_server import Server

pytestmark = pytest.mark.full

ADMIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "correct horse battery"}


class WithPasswords(MlflowServer):
    options = ("--app-name", "basic-auth")


class OnlyRuns(MlflowServer):
    options = ("--no-serve-artifacts",)


@pytest.fixture
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server that is away be given up soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def _found(address: str, folder: Path, **environ: str) -> dict[str, Finding]:
    settings = {"MLFLOW_TRACKING_URI": address, **environ}
    workspace = Workspace(Settings.load(folder / "home", environ=settings, folder=folder))
    return {finding.what: finding for finding in check_mlflow(workspace)}


@contextmanager
def _running(server: MlflowServer) -> Iterator[MlflowServer]:
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def s3() -> Iterator[S3Store]:
    """Start a store."""
    store = S3Store()
    yield store
    store.close()


def test_before_a_folder_the_server_gives_parts_itself(tmp_path: Path) -> None:
    """The artifact that was written is gone afterwards, and no experiment is made."""
    with _running(MlflowServer(tmp_path / "server")) as server:
        found = _found(server.address, tmp_path)
        assert list(found) == ["MLflow", "artifacts", "cache"]
        assert all(finding.ok for finding in found.values())
        assert server.address in found["MLflow"].state
        assert "answers, version 3." in found["MLflow"].state
        assert found["artifacts"].state.endswith("written and read, parts through the server")
        assert "0.0 of at most 20.0 GiB" in found["cache"].state
        assert not [path for path in (tmp_path / "server" / "artifacts").rglob("*") if path.is_file()]
        assert server._ask("SELECT name FROM experiments") == [("Default",)]


def test_an_experiment_that_is_there_is_where_it_is_tried(tmp_path: Path) -> None:
    """Rights are those of an experiment, so that of the runs is asked."""
    with _running(MlflowServer(tmp_path / "server")) as server:
        settings = {"MLFLOW_TRACKING_URI": server.address}
        number = Tracker(Settings.load(tmp_path / "home", environ=settings, folder=tmp_path)).experiment_id()
        assert f"mlflow-artifacts:/{number}: " in _found(server.address, tmp_path)["artifacts"].state


def test_before_a_store_its_signed_addresses_give_parts(
    s3: S3Store, tmp_path: Path, few_tries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they do not lead there from here, or the store is down, that is said."""
    with _running(MlflowServer(tmp_path / "server", s3.destination, **s3.environ)) as server:
        found = _found(server.address, tmp_path)["artifacts"]
        assert found.ok
        assert found.state.endswith(f"parts by signed addresses of {s3.counter.address}")

        with monkeypatch.context() as patch:
            # Of names, a proxy takes all but those that it is told not to.
            patch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
            patch.setenv("NO_PROXY", "localhost")
            found = _found(server.address.replace("127.0.0.1", "localhost"), tmp_path)["artifacts"]
        assert not found.ok
        assert (
            f"the server signs addresses of {s3.counter.address}, which does not answer here" in found.state
        )
        assert "set MLFLOW_S3_ENDPOINT_URL of the server" in found.state
        assert "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false here" in found.state

        s3.close()
        began = time.monotonic()
        found = _found(server.address, tmp_path)["artifacts"]
        assert not found.ok
        assert "cannot be written and read: MLflow at " in found.state
        assert "look into the server's log" in found.state
        assert time.monotonic() - began < 120


def test_a_server_that_keeps_no_artifacts_is_seen(tmp_path: Path) -> None:
    """Each machine would write to a path of its own, which has the server's name for it."""
    with _running(OnlyRuns(tmp_path / "server")) as server:
        found = _found(server.address, tmp_path)["artifacts"]
    assert not found.ok
    assert "the server leaves artifacts to each machine's own folder " in found.state
    assert "start it with --artifacts-destination" in found.state


def test_who_has_no_password_or_no_right_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of MLflow: nobody, a wrong password, who may only read, and the administrator. No password is shown."""
    users = tmp_path / "auth.ini"
    users.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path / 'users.db'}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    starts = {
        "MLFLOW_AUTH_CONFIG_PATH": str(users),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN["MLFLOW_TRACKING_USERNAME"],
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN["MLFLOW_TRACKING_PASSWORD"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test",
    }
    with _running(WithPasswords(tmp_path / "server", **starts)) as server:
        settings = Settings.load(
            tmp_path / "home", environ={"MLFLOW_TRACKING_URI": server.address}, folder=tmp_path
        )

        def look(name: str | None, password: str) -> tuple[str | None, dict[str, Finding]]:
            """Return the error of the first request, and what is found after it."""
            for variable, value in (("USERNAME", name), ("PASSWORD", name and password)):
                if value is None:
                    monkeypatch.delenv(f"MLFLOW_TRACKING_{variable}", raising=False)
                else:
                    monkeypatch.setenv(f"MLFLOW_TRACKING_{variable}", value)
            try:
                Tracker(settings).check()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
                return str(error), {}
            return None, _found(server.address, tmp_path)

        for name, password in ((None, ""), ("admin", "wrong horse battery")):
            error, _ = look(name, password)
            assert error is not None
            assert "401" in error or "not authenticated" in error.lower()
            assert password not in error or not password

        error, found = look(*ADMIN.values())
        assert error is None
        assert all(finding.ok for finding in found.values())
        Tracker(settings).experiment_id()

        from mlflow.server import get_app_client

        get_app_client("basic-auth", server.address).create_user("ben", "a reader's password")
        error, found = look("ben", "a reader's password")
        assert error is None
        assert not found["artifacts"].ok
        assert "403" in found["artifacts"].state or "denied" in found["artifacts"].state.lower()
        assert "check what this MLflow user may do" in found["artifacts"].state
        assert "a reader's password" not in found["artifacts"].state


def test_what_is_no_mlflow_server_is_seen(s3: S3Store, inside: Any, tmp_path: Path, few_tries: None) -> None:
    """The store's own address, for example."""
    ran = inside("doctor", "--json", "--home", tmp_path / "home", MLFLOW_TRACKING_URI=s3.counter.address)
    (wrong,) = [row for row in json.loads(ran.out) if row["ok"] == "NO"]
    assert ran.code == 1
    assert wrong["what"] == "MLflow"
    assert wrong["state"].startswith(f"MLflow at {s3.counter.address}: ")


def test_the_whole_team_is_one_command(
    inside: Any, postgres: Server, s3: S3Store, tmp_path: Path, few_tries: None
) -> None:
    """Well: every line. With both servers down: two lines, exit code 1, and no password."""
    with _running(MlflowServer(tmp_path / "server", s3.destination, **s3.environ)) as server:
        url = postgres.migrated()
        doctor = ("doctor", "--json", "--home", tmp_path / "home")
        settings = {
            "VLMPROBE_DATABASE_URL": url,
            "VLMPROBE_READER_URL": url,
            "MLFLOW_TRACKING_URI": server.address,
        }
        ran = inside(*doctor, **settings)
        rows = json.loads(ran.out)
        assert [row["what"] for row in rows if row["ok"] == "NO"] == ["reader"]
        assert [
            row["what"] for row in rows if row["what"] not in {"versions", "GPU", "home", "families"}
        ] == [
            *("database", "rights", "clock", "reader", "MLflow", "artifacts", "cache", "disk"),
        ]
    down = url.replace(str(postgres.port), "1")
    ran = inside(*doctor, **(settings | {"VLMPROBE_DATABASE_URL": down, "VLMPROBE_READER_URL": url}))
    assert ran.code == 1
    wrong = {row["what"]: row["state"] for row in json.loads(ran.out) if row["ok"] == "NO"}
    assert set(wrong) == {"database", "reader", "MLflow"}
    assert "cannot connect to postgresql://127.0.0.1:1/" in wrong["database"]
    assert f"MLflow at {server.address}: " in wrong["MLflow"]
    assert PASSWORD not in ran.out + ran.err
