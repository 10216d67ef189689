"""Rows of several templates, as ``extract`` and ``analyze`` leave them, in both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.copying import copy_rows
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.queries import list_queries

from .test_both_databases import asked

if TYPE_CHECKING:
    from ...postgres_server import Server


@pytest.mark.full
@pytest.mark.of_a_file  # it copies the file of a home
def test_every_query_gives_the_same_values(panel: Any, postgres: Server) -> None:
    """Bit for bit, in the same order."""
    file = DuckDBStore(panel.home / "vlmprobe.duckdb")
    team = PostgresStore(postgres.empty(), home=panel.home)
    copy_rows(file, team)
    for query in list_queries():
        if all(each.default is not None for each in query.parameters):
            parameters = {
                each.name: None if each.default == "null" else each.default for each in query.parameters
            }
            found = [asked(database, query.sql, parameters) for database in (file, team)]
            assert found[0] == found[1], query.name
    team.close()
