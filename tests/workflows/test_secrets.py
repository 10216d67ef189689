"""Passwords and tokens of the environment end up nowhere: not in messages, not in the database, not in artifacts."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.settings import Settings, without_password

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRETS = {
    "HF_TOKEN": "hf_hunter2token",
    "MLFLOW_TRACKING_TOKEN": "mlflow-hunter2-token",
    "MLFLOW_TRACKING_USERNAME": "hunter2user",
    "MLFLOW_TRACKING_PASSWORD": "hunter2password",
    "AWS_SECRET_ACCESS_KEY": "aws-hunter2-key",
}
AWAY = {
    "MLFLOW_TRACKING_URI": "http://someone:hunter2inurl@127.0.0.1:1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "2",
}


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:password@host:5000/path", "http://host:5000/path"),
        ("https://token@host", "https://host"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://user:pass/word@host:9/", "http://host:9/"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://host/?token=secret&a=b", "http://host/?..."),
        ("no database at /home/md:db?motherduck_token=secret; make", "no database at /home/md:db?... make"),
        ("is it running? yes", "is it running? yes"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("refused: http://u:p@host and ftp://v:q@other", "refused: http://host and ftp://other"),
        ("to postgresql://me:123/word@host:5/study failed", "to postgresql://host:5/study failed"),
        ("postgres://me:123/w?rd@host/study?password=a@b", "postgres://host/study?..."),
        ("postgresql://host/study?password=a@b", "postgresql://host/study?..."),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    """User and password before the host are left out, also in the midst of a message."""
    assert without_password(address) == shown


def test_a_database_of_another_kind_is_refused_without_its_password(inside: Any) -> None:
    """The message names the scheme alone."""
    ran = inside("runs", VLMPROBE_DATABASE_URL="mysql://someone:hunter2@host/db")
    assert ran.code == 2
    assert "mysql:// is not supported" in ran.err
    assert "hunter2" not in ran.err


@pytest.mark.parametrize(
    "url",
    ["hunter2@h://x", "md:mine?motherduck_token=hunter2", "host=h password=hunter2", "password = 'hunter2'"],
)
def test_a_database_address_that_is_none_is_not_repeated(url: str, inside: Any) -> None:
    """What is no path may be a secret."""
    ran = inside("runs", VLMPROBE_DATABASE_URL=url)
    assert ran.code == 2
    assert "is not supported" in ran.err
    assert "hunter2" not in ran.err


def test_a_relative_store_is_where_the_command_was_started(tmp_path: Path) -> None:
    """Its server runs in another folder."""
    settings = Settings.load(environ={"MLFLOW_TRACKING_URI": "sqlite:///runs/mlflow.db"}, folder=tmp_path)
    assert settings.tracking_uri == f"sqlite:///{tmp_path}/runs/mlflow.db"


def _holding(folder: Path, needle: bytes) -> list[str]:
    """Return the files below a folder that hold these bytes, as they are or in base64 or gzip."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if content[:2] == b"\x1f\x8b":
                content = gzip.decompress(content)
            if needle in content:
                found.append(str(path.relative_to(folder)))
    return found


@pytest.mark.full
@pytest.mark.parametrize("store", ["local", "a server that is away"])
def test_no_secret_is_written_or_said(
    shell: Any, benchmark: Callable[..., Path], tmp_path: Path, store: str
) -> None:
    """A whole study with all of them set, then every file it left and every line it said."""
    home = tmp_path / "home"
    environ = SECRETS | ({} if store == "local" else AWAY)
    data = benchmark(2)
    said = []
    for typed in (
        ("run", "tiny", "--scale", "2m", "--data", data, "--out", home / "report"),
        ("sync",),
        ("sql", "SELECT * FROM runs", "--json"),
        ("extract", "tiny", "--scale", "2m", "--data", data, "--checkpoint", "./none", "--debug"),
    ):
        ran = shell(*typed, "--home", home, **environ)
        said += [ran.out, ran.err]
    if store != "local":
        assert "MLflow at http://127.0.0.1:1" in "".join(said)
    assert (home / "report" / "report.html").is_file()
    for secret in (*SECRETS.values(), "hunter2inurl"):
        assert secret not in "".join(said)
        assert _holding(home, secret.encode()) == []
