"""The database's clock: the machines' own differ, and what one of them wrote may be compared with what another did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vlmprobe.store.identity import in_milliseconds, utc_now

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["clock", "database_now"]

#: Of Postgres not when the transaction began, which may have waited long for other writers.
_NOW = {"postgresql": "clock_timestamp()"}
#: Of a DuckDB file, which one machine has.
_NOW_OF_A_FILE = "current_timestamp"


def clock(connection: Connection) -> float:
    """Return the database's time, in seconds; of a DuckDB file that of the transaction's begin."""
    from sqlalchemy import text

    now = _NOW.get(connection.dialect.name, _NOW_OF_A_FILE)
    statement = f"SELECT CAST(extract(epoch FROM {now}) AS DOUBLE PRECISION)"  # noqa: S608 - our own words
    return float(connection.execute(text(statement)).scalar_one())


def database_now(connection: Connection) -> datetime:
    """Return the database's time in the form of :func:`vlmprobe.store.identity.utc_now`."""
    if connection.dialect.name not in _NOW:
        return utc_now()
    return in_milliseconds(datetime.fromtimestamp(clock(connection), UTC))
