"""``vlmprobe db copy`` and ``backup``: every row, from either kind of database into the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from vlmprobe.errors import DatabaseError, UsageError
from vlmprobe.settings import Settings
from vlmprobe.store import copying
from vlmprobe.store.backup import copy_database
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.parquet import write_tables
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.workflows.database import copy_to
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.store.engine import Database

    from ...postgres_server import Server


def tables(database: Any, folder: Path) -> dict[str, Any]:
    """Return every table as its parquet file has it."""
    return {path.name: pq.read_table(path).to_pylist() for path in write_tables(database, folder)}


@pytest.mark.full
def test_there_and_back_again_is_what_it_was(both: tuple[Database, Database], tmp_path: Path) -> None:
    """By the parquet files of all tables; relative paths become whole and relative again."""
    file, team = both
    back = DuckDBStore(tmp_path / "back.duckdb", home=file.places.home)
    back.places = file.places
    counts = copying.copy_rows(team, back)
    assert counts["predictions"] > 0
    assert tables(back, tmp_path / "back") == tables(file, tmp_path / "file")


def test_a_backup_of_postgres_is_a_duckdb_file(both: tuple[Database, Database], tmp_path: Path) -> None:
    """The fast reader, and nothing is left beside it."""
    _, team = both
    target = copy_database(team, tmp_path / "copy.duckdb")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.duckdb"]
    assert tables(DuckDBStore(target), tmp_path / "copy") == tables(team, tmp_path / "team")


def test_relative_paths_are_those_of_the_files_own_home(
    both: tuple[Database, Database],
    postgres: Server,
    tmp_path: Path,
) -> None:
    """Whatever home the command is told: the shards are beside the file that names them."""
    source, url = both[0].places.home / "vlmprobe.duckdb", postgres.empty()
    copy_to(Workspace.open(tmp_path / "another"), str(source), url)
    team = PostgresStore(url, home=tmp_path / "another")
    with team.transaction(write=False) as connection:
        paths = connection.execute(text("SELECT path FROM shards")).scalars().all()
    team.close()
    assert paths
    assert all(path.startswith(str(source.parent)) for path in paths)


@pytest.mark.parametrize("mounted", [True, False])
def test_paths_below_the_folder_that_hosts_share_lead_to_the_same_files(
    both: tuple[Database, Database], postgres: Server, tmp_path: Path, mounted: bool
) -> None:
    """In a copy that is a file: whole where VLMPROBE_STORE_ROOT names the folder, as they were where nothing does."""
    root, url, elsewhere = both[0].places.home, postgres.empty(), tmp_path / "home"
    shared, target = {"VLMPROBE_STORE_ROOT": str(root)}, elsewhere / "vlmprobe.duckdb"
    copy_to(Workspace(Settings.load(elsewhere, environ=shared)), str(root / "vlmprobe.duckdb"), url)
    copy_to(Workspace(Settings.load(elsewhere, environ=shared if mounted else {})), url, str(target))
    with DuckDBStore(target).transaction() as connection:
        paths = connection.execute(text("SELECT path FROM shards")).scalars().all()
    assert paths
    assert all(path.startswith(f"{root}/spool" if mounted else "shared:/spool") for path in paths)


def test_only_an_empty_database_is_copied_into(both: tuple[Database, Database]) -> None:
    """Rows of two studies are joined by `vlmprobe import`, which looks at what they are."""
    with pytest.raises(UsageError, match="holds rows already"):
        copying.copy_rows(*both)


def test_sessions_wait_for_each_other_as_long_as_it_takes(
    both: tuple[Database, Database], postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To sort ten million rows takes longer than a session may otherwise be idle in a transaction."""
    target, real = PostgresStore(postgres.migrated(), home=tmp_path), copying._parts

    def slowly(connection: Any, table: Any) -> Any:
        if table.__tablename__ == "axes":
            time.sleep(2)
        yield from real(connection, table)

    monkeypatch.setattr(copying, "_parts", slowly)
    limit = "SET LOCAL idle_in_transaction_session_timeout = '1s'"
    monkeypatch.setattr("vlmprobe.store.postgres_store._LONGEST_PAUSE", limit)
    assert copying.copy_rows(both[0], target)["axes"] > 0
    target.close()


def test_what_arrives_otherwise_is_not_kept(
    both: tuple[Database, Database],
    postgres: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each table is read again and compared before the transaction ends."""
    real = copying.insert_rows
    monkeypatch.setattr(
        copying, "insert_rows", lambda connection, table, rows: real(connection, table, rows[:-1])
    )
    target = PostgresStore(postgres.migrated(), home=tmp_path)
    with pytest.raises(DatabaseError, match="did not arrive as it is"):
        copying.copy_rows(both[0], target)
    with target.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM axes")).scalar_one() == 0
    target.close()
