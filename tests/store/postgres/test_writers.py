"""``vlmprobe db grant-writer``: a role that extracts and analyzes, and changes neither the schema nor rights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from vlmprobe.errors import DatabaseError, ReadOnlyError, UsageError
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.roles import grant_reader, grant_writer
from vlmprobe.store.runs import set_status
from vlmprobe.store.shards import write_shard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmprobe.settings import Settings

    from ...postgres_server import Server

NAME = "writer_of_rows"


@pytest.fixture
def writer(study: Any, settings: Settings, postgres: Server) -> Iterator[PostgresStore]:
    """Open the study's database with the role; its database lets nobody else do anything, as a team's does."""
    name = settings.database_url.rpartition("/")[2]
    postgres.run(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    grant_writer(study.database, NAME)
    store = PostgresStore(postgres.url(name, NAME), home=settings.home)
    yield store
    store.close()


def test_a_writer_does_all_that_a_run_needs(
    study: Any, writer: PostgresStore, settings: Settings, shard_content: Callable[..., Any]
) -> None:
    """Leases, rows copied in, a status; and it reads every view."""
    study.run("r1")
    study.pairs({"1": "left", "2": "far"})
    assert writer.is_writable
    require_schema(writer)
    with writer.lease("key of r1"):
        shard = write_shard(settings.spool_of("r1"), shard_content(mark=writer.shard_mark("r1")))
        with writer.transaction() as connection:
            commit_shard(connection, shard)
            set_status(connection, "r1", "complete")
    assert study.rows("SELECT count(*), min(status) FROM predictions, runs") == [(4, "complete")]
    with writer.transaction(write=False) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pair_answers").scalar() == 2


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (x int)",
        "ALTER TABLE runs ADD COLUMN x int",
        "DROP VIEW accuracy",
        "TRUNCATE predictions",
        "CREATE ROLE friend",
        "DELETE FROM alembic_version",
        "GRANT SELECT ON runs TO PUBLIC",
    ],
)
def test_a_writer_changes_neither_schema_nor_rights(writer: PostgresStore, statement: str) -> None:
    """Whatever it may do to rows."""
    with psycopg.connect(writer.url) as session:
        try:
            session.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege:
            return
        granted = session.execute(
            "SELECT has_table_privilege('public', oid, 'SELECT') FROM pg_class WHERE relname = 'runs'"
        ).fetchone()
        assert (statement.startswith("GRANT"), granted) == (True, (False,))


def test_a_writer_cannot_upgrade_and_is_told_whom_to_ask(writer: PostgresStore) -> None:
    """The right is the owner's."""
    from vlmprobe.store.migrate import upgrade

    with psycopg.connect(writer.url) as session:
        session.execute("UPDATE alembic_version SET version_num = '0006'")
    with pytest.raises(ReadOnlyError, match="ask its owner"):
        upgrade(writer)


def test_names_that_are_no_writers_are_refused(study: Any, writer: PostgresStore, tmp_path: Path) -> None:
    """A reader's transactions are read-only; a writer makes no other; a file has no roles."""
    assert grant_writer(study.database, NAME) == []
    grant_reader(study.database, "reader_of_rows")
    with pytest.raises(UsageError, match="is a reader"):
        grant_writer(study.database, "reader_of_rows")
    with pytest.raises(DatabaseError, match="ask its owner"):
        grant_writer(writer, "another_writer")
    with pytest.raises(UsageError, match="has no roles"):
        grant_writer(DuckDBStore(tmp_path / "x.duckdb"), NAME)
    with pytest.raises(UsageError, match="no name for a role"):
        grant_writer(study.database, 'x"; DROP TABLE runs; --')


@pytest.mark.parametrize("name", [NAME, "owner", "admin"])
def test_who_may_write_is_made_no_reader(
    study: Any, writer: PostgresStore, postgres: Server, name: str
) -> None:
    """Its transactions would be read-only from then on: nobody could upgrade, and a writer would keep its rights."""
    with pytest.raises(UsageError, match="may write"):
        grant_reader(study.database, name)
    assert postgres.run(f"SELECT rolconfig FROM pg_roles WHERE rolname = '{name}'") == [(None,)]
    assert writer.is_writable
