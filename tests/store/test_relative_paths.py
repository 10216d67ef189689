"""Databases that hold whole paths: their upgrade makes those in the home relative, wherever the home is by now."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest
from alembic import command
from alembic.config import Config

from vlmprobe.resources import migrations_folder
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import upgrade

OLD = Path(__file__).parents[1] / "databases" / "0001.duckdb.gz"
#: Where the database was made.
WAS = "/tmp/db1/home"  # noqa: S108 - what is in the file


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Unpack a database of revision 0001, whose rows name files of a home that was elsewhere."""
    path = tmp_path / "new home"
    path.mkdir()
    (path / "vlmprobe.duckdb").write_bytes(gzip.decompress(OLD.read_bytes()))
    return path


def _ask(home: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home / "vlmprobe.duckdb")) as connection:
        return connection.execute(sql).fetchall()


def _bring(home: Path, stored: str, size: int) -> str:
    """Make a file of this size where a moved home has it; return its place there."""
    inside = Path(stored.removeprefix("file://")).relative_to(WAS)
    (home / inside).parent.mkdir(parents=True, exist_ok=True)
    (home / inside).write_bytes(bytes(size))
    return str(inside)


PLACES = "SELECT path, artifact_uri, n_bytes FROM shards ORDER BY run_id"


def test_paths_of_the_former_place_become_relative_where_the_file_is_here(home: Path) -> None:
    """Spool, artifacts and the benchmark; the upgrade can be taken back from where the home is now."""
    _ask(home, f"UPDATE datasets SET path = '{WAS}/demo/benchmark.tsv'")
    before = _ask(home, PLACES)
    places = [(_bring(home, path, size), _bring(home, address, size), size) for path, address, size in before]
    bench = _bring(home, f"{WAS}/demo/benchmark.tsv", 1)

    upgrade(DuckDBStore(home / "vlmprobe.duckdb"))

    assert _ask(home, PLACES) == places
    assert _ask(home, "SELECT path FROM datasets") == [(bench,)]

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    with DuckDBStore(home / "vlmprobe.duckdb").transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    back = [(str(home / path), (home / address).as_uri(), size) for path, address, size in places]
    assert _ask(home, PLACES) == back
    assert _ask(home, "SELECT path FROM datasets") == [(str(home / bench),)]


def test_paths_of_files_that_are_not_here_stay_as_they_are(home: Path) -> None:
    """Nothing says that another file, or none, is the one that the row means."""
    _ask(home, "UPDATE shards SET artifact_uri = NULL")
    before = _ask(home, PLACES)
    _bring(home, before[0][0], before[0][2] - 1)
    upgrade(DuckDBStore(home / "vlmprobe.duckdb"))
    assert _ask(home, PLACES) == before


def test_a_shard_that_was_pruned_is_in_mlflow_and_has_its_place_in_the_spool(home: Path) -> None:
    """Its row names the place where it would be."""
    before = _ask(home, PLACES)
    artifact = [_bring(home, address, size) for _, address, size in before]
    upgrade(DuckDBStore(home / "vlmprobe.duckdb"))
    after = _ask(home, PLACES)
    assert [path for path, *_ in after] == [str(Path(path).relative_to(WAS)) for path, *_ in before]
    assert [address for _, address, _ in after] == artifact


def test_a_database_outside_of_the_home_keeps_its_paths(home: Path, tmp_path: Path) -> None:
    """Several homes may share it."""
    before = _ask(home, PLACES)
    upgrade(DuckDBStore(home / "vlmprobe.duckdb", home=tmp_path / "another"))
    assert _ask(home, PLACES) == before
