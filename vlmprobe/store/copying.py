"""Copies every row of a database into an empty one, of either kind, and compares what arrived."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from vlmprobe.errors import DatabaseError, UsageError
from vlmprobe.store.migrate import ensure_schema, require_schema
from vlmprobe.store.rows import fetch_column, insert_rows, stored_rows
from vlmprobe.store.schema import Base, DatasetRow, RunPart, RunRow, Shard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from vlmprobe.store.engine import Database
    from vlmprobe.store.places import Places

__all__ = ["copy_rows"]

#: Rows in memory at once.
_AT_A_TIME = 20_000
#: Each session waits while the other one sorts a table, or reads all of it again; nobody else needs the target yet.
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"


def copy_rows(source: Database, target: Database) -> dict[str, int]:
    """Copy all rows, as one transaction sees them, into a database without any; return table -> rows.

    Paths are written as the target keeps them. A run that is being extracted arrives without its lease.

    Raises:
        DatabaseError: the source is none of ours; or a table did not arrive as it is, and nothing is kept.
        StaleSchemaError: the source has another schema than this version.
        UsageError: the target holds rows.
    """
    require_schema(source)
    ensure_schema(target)
    counts: dict[str, int] = {}
    with source.transaction(write=False) as reading, target.transaction() as writing:
        for database, connection in ((source, reading), (target, writing)):
            if database.is_postgres:
                connection.exec_driver_sql(_PATIENT)
        for name in (DatasetRow.__tablename__, RunRow.__tablename__):
            if fetch_column(writing, f"SELECT count(*) FROM {name}") != [0]:  # noqa: S608 - our own names
                raise UsageError(f"{target.name} holds rows already; copy into an empty database")
        for table in _tables():
            counts[table.__tablename__] = _copy_table(source.places, reading, target.places, writing, table)
    return counts


def _tables() -> list[type[Base]]:
    return sorted((mapper.class_ for mapper in Base.registry.mappers), key=lambda table: table.__tablename__)


def _copy_table(
    before: Places, reading: Connection, after: Places, writing: Connection, table: type[Base]
) -> int:
    count, sent = 0, hashlib.sha256()
    for rows in _parts(reading, table):
        moved = stored_rows(writing, (_moved(before, after, table, row) for row in rows))
        insert_rows(writing, table, moved)
        count += len(moved)
        _hash(sent, moved)
    arrived = hashlib.sha256()
    for rows in _parts(writing, table):
        _hash(arrived, rows)
    if arrived.digest() != sent.digest():
        raise DatabaseError(
            f"table {table.__tablename__} did not arrive as it is in the other database, so nothing was copied"
        )
    return count


def _parts(connection: Connection, table: type[Base]) -> Iterator[list[dict[str, Any]]]:
    """Read a table in the order of its keys, JSON decoded; Postgres sorts texts by character, as DuckDB does."""
    columns = table.__table__.columns
    chosen = select(*columns).order_by(*(column for column in columns if column.primary_key))
    found = connection.execute(chosen, execution_options={"yield_per": _AT_A_TIME})
    for part in found.mappings().partitions(_AT_A_TIME):
        yield [dict(row) for row in part]


def _moved(before: Places, after: Places, table: type[Base], row: dict[str, Any]) -> dict[str, Any]:
    if table in (RunRow, RunPart):
        return {**row, "lease": None}
    if table in (DatasetRow, Shard):
        row = {**row, "path": after.stored(before.whole(str(row["path"])))}
    if table is Shard:
        address = before.whole_address(row["artifact_uri"])
        row["artifact_uri"] = None if address is None else after.stored_address(address)
    return row


def _hash(digest: Any, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        digest.update(json.dumps(list(row.values()), default=str).encode())
