"""A home that is copied, moved, or read-only: commands do the right thing, and no byte changes at the other place."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import socket
import sqlite3
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from ..left_behind import read_left, read_rows
from ..read_only import read_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def tree(folder: Path) -> dict[str, str]:
    """Return the hash of every file in a folder, by its place."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True, slots=True)
class Home:
    """A home with an MLflow store of its own."""

    path: Path
    data: Path
    inside: Any

    def run(self, *command: object) -> Any:
        return self.inside(*command, "--home", self.path)

    def extract(self) -> Any:
        return self.run("extract", "tiny", "--scale", "2m", "--data", self.data, "--batch-size", 8)

    def change(self, sql: str) -> None:
        with duckdb.connect(str(self.path / "vlmprobe.duckdb")) as connection:
            connection.execute(sql)

    def mlflow(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path / "mlflow.db")) as connection:
            return [value for (value,) in connection.execute(sql)]

    def at(self, path: Path) -> Home:
        return Home(path, self.data, self.inside)


@pytest.fixture(scope="module")
def finished(
    inside: Any, benchmark: Callable[..., Path], empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """Extract and analyze 24 pairs in a home whose benchmark is in it, too."""
    path = tmp_path_factory.mktemp("homes") / "finished"
    shutil.copytree(benchmark(4).parent, path / "bench")
    shutil.copy(empty_mlflow, path / "mlflow.db")
    home = Home(path, path / "bench" / benchmark(4).name, inside)
    home.extract().ok()
    home.run("analyze").ok()
    return home


@pytest.fixture
def original(finished: Home, tmp_path: Path) -> Iterator[Home]:
    """Name a home that was copied; when the test ends, it holds every byte that it held before."""
    before = tree(finished.path)
    yield finished
    assert tree(finished.path) == before


@pytest.fixture
def copied(original: Home, tmp_path: Path) -> Home:
    """Copy it."""
    return original.at(shutil.copytree(original.path, tmp_path / "a copy"))


@pytest.fixture
def moved(original: Home, tmp_path: Path) -> Home:
    """Move a home to another place; the old one is gone, and nobody can make it again."""
    old = tmp_path / "old"
    shutil.copytree(original.path, old / "home")
    as_if_made_there(original.at(old / "home"), original.path)
    (old / "home").rename(tmp_path / "moved")
    old.rmdir()
    old.write_text("no folder")
    return original.at(tmp_path / "moved")


def as_if_made_there(home: Home, made: Path) -> None:
    """Let MLflow's addresses name the folder that the home is in."""
    with closing(sqlite3.connect(home.path / "mlflow.db")) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (made.as_uri(), home.path.as_uri())
            )


def test_rows_of_a_home_name_places_in_it(original: Home) -> None:
    """Nothing in its database says where the home is, except where something outside is meant."""
    stored = "SELECT path FROM shards UNION ALL SELECT artifact_uri FROM shards UNION ALL SELECT path FROM datasets"
    places = [place for (place,) in read_rows(original.path, stored)]
    assert len(places) == 3
    assert all((original.path / place).is_file() for place in places)
    assert not any(place.startswith(("/", "file:")) for place in places)


def test_a_copy_is_a_home_of_its_own(copied: Home, original: Home, undrawn: Any) -> None:
    """The first command lets MLflow's addresses lead into the copy, and says so; what is new goes into it."""
    said = copied.extract().ok().err
    assert "complete already, all 24 pairs reused" in said
    assert said.count(_mended(original)) == 1
    (told,) = json.loads(copied.run("analyze", "--json").ok().out)
    assert (told["new"], told["changed"]) == (0, 0)
    with undrawn():
        copied.run("merge", "tiny", "--out", copied.path.parent / "report").ok()
    assert list(copied.path.glob("mlartifacts/*/artifacts/report.html"))
    assert copied.run("sync").ok().err == ""
    assert copied.run("verify").ok().out == ""
    assert read_left(copied.path) == read_left(original.path)


@pytest.mark.full
def test_a_copy_and_its_original_are_both_extended(copied: Home, tmp_path: Path) -> None:
    """Each has its own next run: rows, shards, artifacts."""
    twin = copied.at(shutil.copytree(copied.path, tmp_path / "twin"))
    for home, scale in ((copied, "vanilla"), (twin, "80k")):
        other = tree((twin if home is copied else copied).path)
        command = ("extract", "tiny", "--scale", scale, "--data", home.data, "--batch-size", 8)
        home.run(*command).ok()
        home.run("analyze").ok()
        assert tree((twin if home is copied else copied).path) == other
        home.run("verify").ok()
    assert read_rows(copied.path, "SELECT scale FROM runs ORDER BY 1") == [("2m",), ("vanilla",)]
    assert read_rows(twin.path, "SELECT scale FROM runs ORDER BY 1") == [("2m",), ("80k",)]


def _mended(original: Home) -> str:
    return f"MLflow's artifact addresses led to {original.path}, where this home was; they lead into this home now"


def test_verify_finds_nothing_wrong_with_a_fresh_copy(copied: Home, original: Home) -> None:
    """It mends MLflow's addresses as other commands do, says so once, and ends with 0: a copy is no damage."""
    looked = copied.run("verify").ok()
    assert looked.out == ""
    assert looked.err.count(_mended(original)) == 1
    assert _mended(original) not in copied.run("verify").ok().err
    assert all(
        address.startswith(copied.path.as_uri()) for address in copied.mlflow("SELECT artifact_uri FROM runs")
    )


@pytest.mark.full
def test_rows_that_name_files_of_another_home_are_told_and_brought_home(copied: Home, original: Home) -> None:
    """A database with whole paths was copied: this home has the very files, by their hash."""
    copied.run("verify", "--repair").ok()
    copied.change(
        f"UPDATE shards SET path = '{original.path}/' || path, "
        f"artifact_uri = '{original.path.as_uri()}/' || artifact_uri"
    )
    found = copied.run("verify")
    assert found.code == 1
    (line,) = found.out.splitlines()
    assert f"{original.path}/spool/" in line
    assert "the row of shard 1 leads out of the home, which has this file itself" in line
    assert "it names the home's own file now" in copied.run("verify", "--repair").ok().out
    assert read_left(copied.path) == read_left(original.path)
    copied.run("verify").ok()


@pytest.mark.full
def test_a_moved_home_goes_on_where_it_is(moved: Home, undrawn: Any, tmp_path: Path) -> None:
    """Its old path is gone and cannot be made: nothing needs it. A pruned spool comes from the home's artifacts."""
    assert "complete already, all 24 pairs reused" in moved.extract().ok().err
    moved.run("analyze").ok()
    with undrawn():
        moved.run("plot", "--out", tmp_path / "plots").ok()
        moved.run("merge", "tiny").ok()
    moved.run("sync", "--prune").ok()
    assert not list(moved.path.glob("spool/*/*.safetensors"))
    moved.run("verify").ok()
    (told,) = json.loads(moved.run("analyze", "--json").ok().out)
    assert (told["new"], told["changed"]) == (0, 0)
    assert (tmp_path / "old").read_text() == "no folder"


def test_a_read_only_home_is_read(original: Home, tmp_path: Path, undrawn: Any) -> None:
    """It lists, answers, verifies and draws elsewhere; what would write is one line, with exit code 1."""
    with read_only(original.path, tmp_path / "frozen") as path:
        home = original.at(path)
        (run,) = json.loads(home.run("runs", "--json").ok().out)
        assert run["status"] == "complete"
        assert json.loads(home.run("sql", "SELECT count(*) AS n FROM runs", "--json").ok().out) == [{"n": 1}]
        home.run("query", "merge/scales").ok()
        looked = home.run("verify").ok()
        assert "cannot be changed in a read-only home" in looked.err
        with undrawn():
            home.run("plot", "--out", tmp_path / "plots").ok()
            said = home.run("merge", "tiny", "--out", tmp_path / "report").ok().err
        assert "the report is not in MLflow, whose store is read-only" in said
        assert list((tmp_path / "plots").rglob("*.png"))
        for command in (("analyze",), ("sync",), ("verify", "--repair")):
            refused = home.run(*command)
            assert refused.code == 1
            todo = "use a copy of the home that you can write, with --home"
            assert refused.errors == [f"error: {path} is read-only, so nothing was written; {todo}"]
        assert home.extract().code == 1
        assert home.run("merge", "tiny").errors[0].endswith("write to another folder with --out")


@pytest.mark.full
def test_what_else_reads_a_read_only_home(original: Home, tmp_path: Path) -> None:
    """Exports and backups go elsewhere; without a spool, states come from the home's own artifacts."""
    pruned = original.at(shutil.copytree(original.path, tmp_path / "pruned"))
    pruned.run("sync", "--prune").ok()
    expected = original.run("export", tmp_path / "expected", "--format", "parquet").ok()
    with read_only(pruned.path, tmp_path / "frozen") as path:
        home = original.at(path)
        home.run("verify").ok()
        home.run("backup", tmp_path / "copy.duckdb").ok()
        home.run("export", tmp_path / "tables", "--format", "parquet").ok()
        home.run("export", tmp_path / "old", "--no-plots").ok()
        assert list((tmp_path / "old").rglob("vectors_2m.npz"))
        (run,) = json.loads(home.run("runs", "--json").ok().out)
        for command in (
            ("runs", "rm", run["run_id"], "--yes"),
            ("db", "upgrade"),
            ("import", tmp_path / "old"),
            ("run", "tiny", "--data", home.data),
        ):
            refused = home.run(*command)
            assert (refused.code, len(refused.errors)) == (1, 1)
            assert f"{path} is read-only" in refused.errors[0]
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM predictions").fetchall() == [(48,)]
    assert expected.code == 0
    assert (tmp_path / "tables" / "predictions.parquet").read_bytes() == (
        tmp_path / "expected" / "predictions.parquet"
    ).read_bytes()


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - our own http address
        content: bytes = answer.read()
        return content


@pytest.mark.full
@pytest.mark.parametrize("frozen", [True, False], ids=["read-only", "moved"])
def test_the_ui_shows_the_homes_own_artifacts(frozen: bool, moved: Home, shell: Any, tmp_path: Path) -> None:
    """MLflow's addresses lead to the old place: in a read-only home, a copy of its database is mended and shown."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = tree(moved.path)
    with read_only(moved.path, tmp_path / "frozen") as path:
        process = shell.start("ui", "--port", port, "--home", path if frozen else moved.path)
        try:
            address = process.stdout.readline().strip()
            assert address.startswith(f"http://127.0.0.1:{port}/#/experiments/")
            (run_id,) = moved.mlflow("SELECT run_uuid FROM runs")
            url = f"http://127.0.0.1:{port}/get-artifact?path=hidden_states%2F00001.safetensors&run_uuid={run_id}"
            assert hashlib.sha256(_get(url)).hexdigest() in before.values()
        finally:
            process.send_signal(signal.SIGINT)
            ended = shell.finish(process)
    assert ended.code == 0
    assert ("this shows a copy of it, whose changes are lost" in ended.err) is frozen
    if frozen:
        assert tree(moved.path) == before


def test_a_store_outside_of_the_home_is_left_alone(copied: Home, original: Home, empty_mlflow: Path) -> None:
    """Its addresses may be those of other homes, all of which log to it."""
    store = Path(shutil.copy(original.path / "mlflow.db", copied.path.parent / "shared.db"))
    located = "SELECT artifact_location FROM experiments"
    with closing(sqlite3.connect(store)) as connection:
        before = connection.execute(located).fetchall()
    command = ("verify", "--repair", "--home", copied.path)
    copied.inside(*command, MLFLOW_TRACKING_URI=f"sqlite:///{store}").ok()
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute(located).fetchall() == before


def test_a_database_that_several_homes_share_is_read_from_each(original: Home, tmp_path: Path) -> None:
    """Named by a setting, it lies outside of both: a home's rows name whole paths, which another one can read."""
    shared = Path(shutil.copy(original.path / "vlmprobe.duckdb", tmp_path / "shared.duckdb"))
    with duckdb.connect(str(shared)) as connection:
        connection.execute(f"UPDATE shards SET path = '{original.path}/' || path")
    ran = original.inside(
        "verify", "--home", tmp_path / "another", VLMPROBE_DATABASE_URL=f"duckdb:///{shared}"
    )
    assert ran.ok().out == ""
    assert not (tmp_path / "another").exists()
