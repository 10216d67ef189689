"""The same rows in DuckDB and Postgres: every view and every query gives the same values, bit for bit."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.copying import copy_rows
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import upgrade
from vlmprobe.store.postgres_store import PostgresStore
from vlmprobe.store.queries import list_queries
from vlmprobe.store.rows import fetch, fetch_column
from vlmprobe.store.schema import Base

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.store.engine import Database

    from ...postgres_server import Server

OLD = Path(__file__).resolve().parents[2] / "databases" / "0005.duckdb.gz"
VIEWS = "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_name"
#: Two runs under two templates, as `consistency/over_templates` compares them, and one of their answers gone wrong.
CHANGES = (
    "UPDATE runs SET scale = '2m', samples_seen = NULL, template = 'yes-no' WHERE scale = 'vanilla'",
    "UPDATE predictions SET correct = NOT correct, parsed = NULL "
    "WHERE pair_id = (SELECT min(pair_id) FROM predictions)",
    "UPDATE metrics SET value = NULL WHERE layer = 2",
    """UPDATE runs SET config = '{"notes": ["a \\"note\\"", "another; note"]}'""",
)


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
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
    team = PostgresStore(postgres.empty(), home=folder)
    copy_rows(file, team)
    yield file, team
    team.close()


def bits(rows: list[dict[str, Any]]) -> list[list[tuple[str, str, Any]]]:
    """Return rows with the type of every value, and of a float its bits."""
    return [
        [
            (name, type(value).__name__, struct.pack("<d", value) if isinstance(value, float) else value)
            for name, value in row.items()
        ]
        for row in rows
    ]


def asked(database: Database, sql: str, parameters: dict[str, Any] | None = None) -> list[Any]:
    """Run one statement."""
    with database.transaction(write=False) as connection:
        return bits(fetch(connection, sql, parameters))


def test_every_table_has_the_same_rows(both: tuple[Database, Database]) -> None:
    """By key, JSON included; paths are whole in a database that several homes share."""
    file, team = both
    for name, table in sorted(Base.metadata.tables.items()):
        sql = f"SELECT * FROM {name} ORDER BY {', '.join(column.name for column in table.primary_key)}"
        with file.transaction() as connection:
            rows = fetch(connection, sql)
        if "path" in table.columns:
            rows = [{**row, "path": str(file.places.whole(row["path"]))} for row in rows]
        if "artifact_uri" in table.columns:
            rows = [{**row, "artifact_uri": file.places.whole_address(row["artifact_uri"])} for row in rows]
        assert asked(team, sql) == bits(rows), name


@pytest.mark.parametrize("state", ["both", "changed"])
def test_every_view_gives_the_same_values(state: str, request: pytest.FixtureRequest) -> None:
    """The bounds too, which are computed in SQL."""
    file, team = request.getfixturevalue(state)
    with file.transaction() as connection:
        views = fetch_column(connection, VIEWS)
    assert len(views) > 8
    for view in views:
        found = [sorted(asked(database, f"SELECT * FROM {view}"), key=repr) for database in (file, team)]
        assert found[0] == found[1], view


@pytest.mark.parametrize("state", ["both", "changed"])
def test_every_query_gives_the_same_values_in_the_same_order(
    state: str, request: pytest.FixtureRequest
) -> None:
    """With their defaults, and with every parameter given."""
    file, team = request.getfixturevalue(state)
    with file.transaction() as connection:
        runs = fetch_column(connection, "SELECT run_id FROM runs ORDER BY run_id")
    given = {
        **{
            "family": "tiny",
            "from_scale": "vanilla",
            "to_scale": "2m",
            "scale": "2m",
            "dataset": "benchmark",
        },
        **{
            "run_id": runs[0],
            "from_run": runs[0],
            "to_run": runs[-1],
            "run_ids": ",".join(runs),
            "controls": "also",
        },
    }
    filled = 0
    for query in list_queries():
        least = {
            each.name: given.get(each.name)
            if each.default is None
            else None
            if each.default == "null"
            else each.default
            for each in query.parameters
        }
        most = {name: value if value is not None else given.get(name) for name, value in least.items()}
        for parameters in (least, most):
            found = [asked(database, query.sql, parameters) for database in (file, team)]
            if query.name.startswith("checks/"):
                # They have no order: their rows are counted, and one is shown.
                found = [sorted(rows, key=repr) for rows in found]
            assert found[0] == found[1], (query.name, parameters)
            filled += bool(found[0])
    # Checks find nothing, and little differs between two scales.
    assert filled > 15
