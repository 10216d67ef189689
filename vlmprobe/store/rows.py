"""Moves rows between Python and the database: in bulk on the way in, dataclasses or Arrow on the way out.

Only this module converts between NULL and NaN.
"""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from _typeshed import DataclassInstance
    from sqlalchemy import Connection

    from vlmprobe.store.schema import Base

__all__ = [
    "Row",
    "chunked",
    "fetch",
    "fetch_arrow",
    "fetch_as",
    "fetch_column",
    "fill_nulls",
    "insert_rows",
    "none_if_nan",
    "stored_rows",
]

Row = TypeVar("Row", bound="DataclassInstance")

_STATEMENT = "vlmprobe_statement"
#: How to convert a column, by the type of its field; other types keep DuckDB's value.
_READ_AS: dict[str, Callable[[Any], Any]] = {
    "float": lambda value: math.nan if value is None else value,
    "Path": Path,
    "tuple[int, ...]": lambda text: tuple(json.loads(text)),
    "dict[str, Any]": lambda text: json.loads(text) if text else {},
}


def insert_rows(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, skipping those whose key exists; return how many were new.

    Goes through an Arrow table, or COPY: 10,000 rows take 0.03 s this way and 0.6 s through the ORM.
    """
    if not rows:
        return 0
    columns = ", ".join(f'"{column.name}"' for column in table.__table__.columns)
    with _incoming(connection, table, rows):
        result = connection.exec_driver_sql(
            f"INSERT INTO {table.__tablename__} ({columns}) SELECT {columns} FROM incoming_rows "  # noqa: S608 - our own names
            "ON CONFLICT DO NOTHING"
        )
        return _count(connection, result)


def stored_rows(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as they come back once they are inserted: Postgres keeps no NUL in a text."""
    if not _is_postgres(connection):
        return [dict(row) for row in rows]
    from vlmprobe.store.postgres_rows import as_stored

    return [{name: as_stored(value) for name, value in row.items()} for row in rows]


def fill_nulls(
    connection: Connection, table: type[Base], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> int:
    """Fill NULLs in columns of existing rows, which are matched by primary key; return how many rows changed."""
    if not rows or not columns:
        return 0
    name = table.__tablename__
    filled = ", ".join(f"{column} = coalesce({name}.{column}, incoming_rows.{column})" for column in columns)
    keys = [column.name for column in table.__table__.columns if column.primary_key]
    same = " AND ".join(f"{name}.{key} = incoming_rows.{key}" for key in keys)
    open_ones = " OR ".join(
        f"({name}.{column} IS NULL AND incoming_rows.{column} IS NOT NULL)" for column in columns
    )
    with _incoming(connection, table, rows):
        result = connection.exec_driver_sql(
            f"UPDATE {name} SET {filled} FROM incoming_rows WHERE {same} AND ({open_ones})"  # noqa: S608 - our own names
        )
        return _count(connection, result)


@contextmanager
def _incoming(connection: Connection, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Expose rows to SQL as ``incoming_rows``, with all columns of the table."""
    from sqlalchemy import JSON

    values: dict[str, list[Any]] = {}
    for column in table.__table__.columns:
        found = [row.get(column.name) for row in rows]
        if isinstance(column.type, JSON):
            found = [None if value is None else json.dumps(value) for value in found]
        values[column.name] = found
    driver = _driver(connection)
    if _is_postgres(connection):
        from vlmprobe.store.postgres_rows import copied_in

        in_rows = list(zip(*values.values(), strict=True))
        with copied_in(driver, table.__tablename__, list(values), in_rows):
            yield
        return
    import pyarrow as pa

    types = {column.name: _arrow_type(column.type.python_type) for column in table.__table__.columns}
    arrays = {name: pa.array(column, type=types[name]) for name, column in values.items()}
    driver.register("incoming_rows", pa.table(arrays))
    try:
        yield
    finally:
        driver.unregister("incoming_rows")


def _count(connection: Connection, result: Any) -> int:
    """Return how many rows a statement inserted or changed."""
    if _is_postgres(connection):
        return int(result.rowcount)
    first = result.first()
    return int(first[0]) if first else 0


def _is_postgres(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


def _driver(connection: Connection) -> Any:
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - an open connection has one
    return driver


def _arrow_type(python_type: type) -> Any:
    from datetime import datetime

    import pyarrow as pa

    # The order matters: bool is an int to Python.
    known = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), datetime: pa.timestamp("us")}
    return known.get(python_type, pa.string())


def fetch(
    connection: Connection, sql: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Run one SELECT with ``$name`` parameters; return its rows as dictionaries, without conversion."""
    if _is_postgres(connection):
        from vlmprobe.store.postgres_rows import fetch_postgres

        return fetch_postgres(_driver(connection), sql, parameters or {})
    rows: list[dict[str, Any]] = _run(connection, sql, parameters, _read)
    return rows


def fetch_arrow(connection: Connection, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
    """Run one SELECT with ``$name`` parameters; return its rows as an Arrow table."""
    if _is_postgres(connection):
        from vlmprobe.store.postgres_rows import fetch_postgres_arrow

        return fetch_postgres_arrow(_driver(connection), sql, parameters or {})
    return _run(connection, sql, parameters, lambda cursor: cursor.to_arrow_table())


def _run(
    connection: Connection,
    sql: str,
    parameters: Mapping[str, Any] | None,
    read: Callable[[Any], Any],
) -> Any:
    driver = _driver(connection)
    given = dict(parameters or {})
    literals = {name: _literal(value) for name, value in given.items()}
    if not literals or None in literals.values():
        return read(driver.execute(sql, given))
    # A bound parameter makes DuckDB import pandas to check its type, which takes longer than any query here.
    driver.execute(f"PREPARE {_STATEMENT} AS {sql}")
    try:
        assigned = ", ".join(f'"{name}" := {literal}' for name, literal in literals.items())
        return read(driver.execute(f"EXECUTE {_STATEMENT}({assigned})"))
    finally:
        driver.execute(f"DEALLOCATE {_STATEMENT}")


def fetch_as(
    row_type: type[Row],
    connection: Connection,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    renamed: Mapping[str, str] | None = None,
    **same: Any,
) -> list[Row]:
    """Run one SELECT; return each row as a dataclass with a field per column.

    NULL becomes NaN in a field of type ``float`` and None in any other; JSON is decoded.

    Args:
        row_type: the dataclass of a row; it may omit columns.
        connection: an open transaction.
        sql: the statement.
        parameters: its ``$name`` parameters.
        renamed: columns that a field has another name for: column -> field.
        same: fields that are not columns, with their value for all rows.
    """
    read_as = {field.name: _READ_AS.get(str(field.type), _as_it_is) for field in fields(row_type)}
    made = []
    for row in fetch(connection, sql, parameters):
        columns = {(renamed or {}).get(name, name): value for name, value in row.items()}
        values = {name: read_as[name](value) for name, value in columns.items() if name in read_as}
        made.append(row_type(**same, **values))
    return made


def _as_it_is(value: Any) -> Any:
    return value


def fetch_column(connection: Connection, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
    """Run one SELECT of one column; return its values."""
    return [value for row in fetch(connection, sql, parameters) for value in row.values()]


def _read(cursor: Any) -> list[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _literal(value: Any) -> str | None:
    """Format a value as a SQL literal; return None for any other type."""
    if value is None:
        return "NULL"
    # A subclass, such as an enum, may print differently.
    if type(value) is str and "\0" not in value:
        return "'" + value.replace("'", "''") + "'"
    if type(value) in {bool, int}:
        return str(value)
    if type(value) in {list, tuple}:
        items = [_literal(item) for item in value]
        return None if None in items else f"[{', '.join(filter(None, items))}]"
    return None


def none_if_nan(value: float | None) -> float | None:
    """Return None for a value that is not finite; it is stored as NULL, so that SQL aggregates skip it."""
    return None if value is None or not math.isfinite(value) else float(value)


def chunked(items: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    """Cut a sequence into pieces of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))
