"""A path is data: no character of it means anything to DuckDB, SQLite or MLflow, or the path is refused at once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text

from vlmprobe.errors import UsageError
from vlmprobe.paths import sqlite_address, sqlite_path
from vlmprobe.resources import checkpoints_folder
from vlmprobe.settings import Settings
from vlmprobe.store.duckdb_store import DuckDBStore

from ..left_behind import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable

#: Names of folders. Some are what another one becomes when it is read as a part of an address.
NAMES = [
    "a#1",
    "a",
    "my%20project",
    "my project",
    "my%2520project",
    "100%",
    "Bob's data",
    'say "no"',
    "größe 模型",
    "-x",
    "~",
    "~backup",
    "a;b&c=d",
    "a@b:c",
    "a*[b]{c}",
    "a\\b",
    "$HOME",
    " spaces ",
    "é" * 120,
]


@pytest.fixture
def homes(tmp_path: Path) -> list[Settings]:
    """Make the homes beside each other."""
    (tmp_path / "homes").mkdir()
    return [Settings.load(tmp_path / "homes" / name, environ={}, folder=tmp_path / "homes") for name in NAMES]


def test_homes_share_no_database(homes: list[Settings], tmp_path: Path) -> None:
    """Each has a file of its own, with what was written there, and nothing lies beside them."""
    for number, settings in enumerate(homes):
        with DuckDBStore(settings.database_path, home=settings.home).transaction() as connection:
            connection.execute(text(f"CREATE TABLE numbers AS SELECT {number} AS n"))
    for number, settings in enumerate(homes):
        assert read_rows(settings.home, "SELECT n FROM numbers") == [(number,)]
    assert sorted(os.listdir(tmp_path / "homes")) == sorted(NAMES)  # noqa: PTH208
    assert os.listdir(tmp_path) == ["homes"]  # noqa: PTH208


def test_sqlite_opens_the_file_that_an_address_was_made_of(homes: list[Settings], tmp_path: Path) -> None:
    """As SQLAlchemy reads it; and the folder that MLflow creates for an address is one that is there."""
    for settings in homes:
        settings.home.mkdir()
        file = settings.home / "mlflow.db"
        engine = create_engine(settings.tracking_uri)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE notes (n INTEGER)"))
        engine.dispose()
        assert file.is_file()
        assert sqlite_path(sqlite_address(file)) == file
        assert Path(settings.tracking_uri.removeprefix("sqlite:///")).parent.is_dir()
    assert sorted(os.listdir(tmp_path / "homes")) == sorted(NAMES)  # noqa: PTH208


REFUSED = {
    "what?one": "has a '?', which ends a path for DuckDB and MLflow; use a path without it",
    "?": "has a '?'",
    "line\nbreak": "has a control character or is not UTF-8",
    "bell\a": "has a control character",
    os.fsdecode(b"latin-\xe9"): "is not UTF-8",
    f"{'x' * 200}/{'y' * 200}/{'z' * 100}": "SQLite cannot open files in a folder of more than 477",
    "x" * 300: "is not a usable path: File name too long",
}


@pytest.mark.parametrize("name", REFUSED, ids=["a", "b", "c", "d", "e", "f", "g"])
def test_a_home_that_cannot_work_is_refused_before_anything_is_written(
    name: str, inside: Any, tmp_path: Path
) -> None:
    """One line, exit code 2, whatever the command."""
    for command in (("runs",), ("demo", "--scales", "2m"), ("db", "upgrade")):
        ran = inside(*command, "--home", tmp_path / name)
        assert ran.code == 2
        (line,) = ran.errors
        assert line.startswith("error: --home (or VLMPROBE_HOME): ")
        assert REFUSED[name] in line
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_the_longest_home_works(tmp_path: Path) -> None:
    """At 477 bytes SQLite still opens what MLflow creates; a byte more is refused."""
    home = tmp_path
    while (left := 477 - len(os.fsencode(home)) - 1) > 0:
        home /= "x" * min(left if left <= 200 else 150, 200)
    assert len(os.fsencode(home)) == 477
    settings = Settings.load(home, environ={}, folder=tmp_path)
    home.mkdir(parents=True)
    engine = create_engine(sqlite_address(home / ".mlflow.db.4194304.partial"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (n INTEGER)"))
    engine.dispose()
    with DuckDBStore(settings.database_path).transaction() as connection:
        connection.execute(text("CREATE TABLE notes (n INTEGER)"))
    with pytest.raises(UsageError, match="has 478 bytes"):
        Settings.load(home.with_name(home.name + "x"), environ={}, folder=tmp_path)


def test_a_tilde_is_ones_own_folder_unless_it_is_a_name(
    inside: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workplace: Path
) -> None:
    """As in a shell; ``./~`` is a name in any case, and so is what is there."""

    def home_of(given: str) -> str:
        return str(inside("db", "upgrade", "--home", given, HOME=str(tmp_path)).ok().out)

    assert home_of("~/study").startswith(f"{tmp_path}/study/")
    try:
        assert home_of("./~").startswith(f"{workplace}/~/")
        assert home_of("~").startswith(f"{workplace}/~/")
    finally:
        shutil.rmtree(workplace / "~")


@pytest.mark.full
@pytest.mark.parametrize(
    "name", ["a#1", "my%20project", "Bob's data", "größe 模型", "~x", "a*[b]{c}", "é" * 120], ids=ascii
)
def test_every_folder_may_have_any_name(
    name: str, inside: Any, benchmark: Callable[..., Path], undrawn: Any, tmp_path: Path
) -> None:
    """Home, benchmark, checkpoint, report, export and backup, all called so, each below a folder of its own."""
    data = shutil.copytree(benchmark(2).parent, tmp_path / "data" / name) / benchmark(2).name
    checkpoint = shutil.copytree(checkpoints_folder() / "2m", tmp_path / "checkpoints" / name)
    home = tmp_path / "homes" / name

    def run(*command: object) -> Any:
        return inside(*command, "--home", f"{home}/").ok()

    extract = ("extract", "qwen25", "--scale", "s", "--checkpoint", f"{checkpoint}/", "--batch-size", 8)
    run(*extract, "--data", data)
    assert "complete already" in run(*extract, "--data", data).err
    run("analyze")
    with undrawn():
        run("merge", "qwen25", "--out", f"{tmp_path / 'reports' / name}/")
        run("plot", "--out", tmp_path / "plots" / name)
    run("export", tmp_path / "exports" / name, "--no-plots")
    run("backup", tmp_path / "backups.duckdb")
    run("sync", "--prune")
    assert run("verify").out == ""
    run("import", tmp_path / "exports" / name)
    for folder in ("homes", "data", "checkpoints", "reports", "plots", "exports"):
        assert os.listdir(tmp_path / folder) == [name]  # noqa: PTH208
    assert read_rows(home, "SELECT count(*) FROM shards WHERE path LIKE 'spool/%'") == [(2,)]


@pytest.mark.full
@pytest.mark.parametrize("name", ["-x", "~x", "a#1"])
def test_a_relative_folder_may_have_such_a_name(
    name: str, inside: Any, benchmark: Callable[..., Path], workplace: Path
) -> None:
    """Given as it is, in the working directory."""
    made = [workplace / name, workplace / f"{name} checkpoint"]
    try:
        shutil.copytree(benchmark(2).parent, made[0])
        shutil.copytree(checkpoints_folder() / "2m", made[1])
        options = ("--checkpoint", made[1].name, "--data", f"{name}/{benchmark(2).name}", "--home", name)
        inside("extract", "qwen25", "--scale", "s", "--batch-size", 8, *options).ok()
        assert (made[0] / "vlmprobe.duckdb").is_file()
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
