"""A new Postgres database for each test, in place of a DuckDB file; and the same rows in one of each kind, to read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vlmprobe.settings import Settings
from vlmprobe.store.copying import copy_rows
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.kept_rows import renew_rows
from vlmprobe.store.migrate import upgrade
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.rows import fetch_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmprobe.store.engine import Database

    from ...postgres_server import Server

OLD = Path(__file__).resolve().parents[2] / "databases" / "0006.duckdb.gz"
#: Two runs under two templates, as `consistency/over_templates` compares them, and one of their answers gone wrong.
CHANGES = (
    "UPDATE runs SET scale = '2m', samples_seen = NULL, template = 'yes-no' WHERE scale = 'vanilla'",
    "UPDATE predictions SET correct = NOT correct, parsed = NULL "
    "WHERE pair_id = (SELECT min(pair_id) FROM predictions)",
    "UPDATE metrics SET value = NULL WHERE layer = 2",
    "UPDATE metrics SET p_value = 0.5, n_images = 3 WHERE layer > 3",
    "UPDATE shards SET synced_at = NULL, host = 'n1' WHERE layers IS NOT NULL",
    """UPDATE runs SET config = '{"notes": ["a \\"note\\"", "another; note"]}'""",
)


@pytest.fixture
def settings(tmp_path: Path, postgres: Server) -> Settings:
    """Name a database with the schema, and a home."""
    environ = {"VLMPROBE_DATABASE_URL": postgres.migrated()}
    return Settings.load(tmp_path / "home", environ=environ, folder=tmp_path)


@pytest.fixture
def another(settings: Settings) -> Iterator[Callable[[], PostgresStore]]:
    """Open the database once more, as another process or machine does."""
    opened: list[PostgresStore] = []

    def open_it() -> PostgresStore:
        opened.append(PostgresStore(settings.database_url, home=settings.home))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()


@pytest.fixture
def database(another: Callable[[], PostgresStore]) -> PostgresStore:
    """Open it."""
    return another()


@pytest.fixture(scope="session")
def both(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, Database]]:
    """Copy two scales of the demo, analyzed, into Postgres."""
    path = tmp_path_factory.mktemp("both") / "vlmprobe.duckdb"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    file = DuckDBStore(path)
    upgrade(file)
    team = PostgresStore(postgres.empty(), home=path.parent)
    copy_rows(file, team)
    yield file, team
    team.close()


@pytest.fixture(scope="session")
def changed(
    both: tuple[Database, Database], postgres: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Database]]:
    """Copy them with rows that the demo has not: several templates, NULLs where numbers are, notes."""
    folder = tmp_path_factory.mktemp("changed")
    file = DuckDBStore(folder / "vlmprobe.duckdb")
    copy_rows(both[0], file)
    with file.transaction() as connection:
        for statement in CHANGES:
            connection.exec_driver_sql(statement)
        for run_id in fetch_column(connection, "SELECT run_id FROM runs"):
            renew_rows(connection, run_id)
    team = PostgresStore(postgres.empty(), home=folder)
    copy_rows(file, team)
    yield file, team
    team.close()
