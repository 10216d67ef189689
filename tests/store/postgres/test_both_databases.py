"""The same rows in DuckDB and Postgres: every view and every query gives the same values, bit for bit."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.store.queries import list_queries
from vlmprobe.store.rows import fetch, fetch_column
from vlmprobe.store.schema import Base

if TYPE_CHECKING:
    from vlmprobe.store.engine import Database

VIEWS = "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_name"


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


@pytest.mark.parametrize("state", [pytest.param("both", marks=pytest.mark.full), "changed"])
def test_every_view_gives_the_same_values(state: str, request: pytest.FixtureRequest) -> None:
    """The bounds too, which are computed in SQL."""
    file, team = request.getfixturevalue(state)
    with file.transaction() as connection:
        views = fetch_column(connection, VIEWS)
    assert len(views) > 8
    for view in views:
        found = [sorted(asked(database, f"SELECT * FROM {view}"), key=repr) for database in (file, team)]
        assert found[0] == found[1], view


@pytest.mark.parametrize("state", [pytest.param("both", marks=pytest.mark.full), "changed"])
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
            "first_run": runs[0],
            "last_run": runs[-1],
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
