"""Migrations on Postgres: there and back, and what an upgrade of a database with readers leaves as it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from vlmprobe.store.migrate import require_schema, upgrade
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.revision import SCHEMA_REVISION
from vlmprobe.store.roles import grant_reader
from vlmprobe.store.rows import fetch_column
from vlmprobe.store.schema import Base

from ..test_migrate import _config

if TYPE_CHECKING:
    from ...postgres_server import Server

#: Columns whose texts would sort as the server's language has it.
SORTED_OTHERWISE = """
SELECT table_name || '.' || column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
    AND table_name NOT IN (SELECT table_name FROM information_schema.views)
"""


def test_models_and_migrations_say_the_same(database: PostgresStore) -> None:
    """Alembic finds nothing to change, types and NULLs included."""
    with database.transaction(write=False) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_database_can_be_downgraded_to_nothing_and_upgraded_again(database: PostgresStore) -> None:
    """Every migration has a way back, and leaves no name behind that the way there needs."""
    with database.transaction() as connection:
        command.downgrade(_config(connection), "base")
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    assert upgrade(database) == (None, SCHEMA_REVISION)
    require_schema(database)


def test_an_upgrade_leaves_readers_their_rights_and_texts_their_order(
    database: PostgresStore, postgres: Server
) -> None:
    """From revision 0006: the role that could read the tables before can read them, and those that are new."""
    grant_reader(database, "reader_of_migrations")
    with database.transaction() as connection:
        command.downgrade(_config(connection), "0006")
    assert upgrade(database) == ("0006", SCHEMA_REVISION)
    name = database.url.rpartition("/")[2]
    reader = PostgresStore(postgres.url(name, "reader_of_migrations"), home=Path("/nowhere"))
    with reader.transaction(write=False) as connection:
        for name in ("shards", "kept_pair_answers", "every_run_count", "accuracy"):
            assert fetch_column(connection, f"SELECT count(*) FROM {name}") == [0]
        assert fetch_column(connection, SORTED_OTHERWISE) == []
    reader.close()
