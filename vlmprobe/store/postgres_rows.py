"""Rows of Postgres as those of DuckDB are: COPY on the way in, JSON as text and whole numbers on the way out."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import ClientCursor
from psycopg.adapt import AdaptersMap, Loader
from psycopg.types.string import StrDumper, TextLoader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg
    import pyarrow as pa

__all__ = ["adapt", "as_stored", "copied_in", "fetch_postgres", "fetch_postgres_arrow", "read_as_duckdb_does"]

#: A parameter of our SQL.
_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")
#: Columns of these types -> the Arrow type that DuckDB gives; all others are text.
_ARROW = {
    "bool": "bool",
    "int2": "int16",
    "int4": "int32",
    "int8": "int64",
    "float4": "float32",
    "float8": "float64",
    "numeric": "float64",
    "timestamp": "timestamp[us]",
}


def as_stored(value: Any) -> Any:
    """Return a value as Postgres keeps it: a text cannot hold NUL, which a model may well answer."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


class _Text(StrDumper):
    """A text without NUL."""

    def dump(self, obj: str) -> Any:
        return super().dump(as_stored(obj) if "\0" in obj else obj)


class _Number(Loader):
    """A sum of whole numbers as an int, as DuckDB gives it; an average as a float."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdigit() else float(text)


def adapt(session: psycopg.Connection[Any]) -> None:
    """Let a session write texts as :func:`as_stored` has them, whatever statement they are part of."""
    session.adapters.register_dumper(str, _Text)


def read_as_duckdb_does(adapters: AdaptersMap) -> None:
    """Let values come as DuckDB gives them: JSON as text, a sum as an int."""
    adapters.register_loader("json", TextLoader)
    adapters.register_loader("numeric", _Number)


@contextmanager
def copied_in(
    session: psycopg.Connection[Any], table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Iterator[None]:
    """Expose rows to SQL as ``incoming_rows``; a pooler may give the next transaction another session."""
    names = ", ".join(f'"{column}"' for column in columns)
    session.execute(f"CREATE TEMP TABLE incoming_rows (LIKE {table}) ON COMMIT DROP".encode())
    with session.cursor() as cursor, cursor.copy(f"COPY incoming_rows ({names}) FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)
    yield
    # After an error the transaction is over, and the table with it.
    session.execute("DROP TABLE incoming_rows")


def _ask(session: psycopg.Connection[Any], sql: str, parameters: Mapping[str, Any]) -> ClientCursor[Any]:
    """Run one SELECT. The values are written into it here: the server could not tell the type of ``$x IS NULL``."""
    cursor = ClientCursor(session)
    read_as_duckdb_does(cursor.adapters)
    written = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
    return cursor.execute(written.encode(), parameters)


def fetch_postgres(
    session: psycopg.Connection[Any], sql: str, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Run one SELECT with ``$name`` parameters; return its rows as dictionaries."""
    with _ask(session, sql, parameters) as cursor:
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def fetch_postgres_arrow(
    session: psycopg.Connection[Any], sql: str, parameters: Mapping[str, Any]
) -> pa.Table:
    """Run one SELECT with ``$name`` parameters; return its rows as an Arrow table."""
    import pyarrow as pa

    with _ask(session, sql, parameters) as cursor:
        columns = cursor.description or []
        values = list(zip(*cursor, strict=True)) or [()] * len(columns)
        types = [_arrow_type(session, column.type_code) for column in columns]
        arrays = [pa.array(column, type=kind) for column, kind in zip(values, types, strict=True)]
        return pa.Table.from_arrays(arrays, names=[column.name for column in columns])


def _arrow_type(session: psycopg.Connection[Any], code: int) -> Any:
    import pyarrow as pa

    info = session.adapters.types.get(code)
    return pa.type_for_alias(_ARROW.get(info.name if info else "", "string"))
