"""A foreign process that keeps a home's database from being written: someone's DuckDB shell, or an open transaction."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from .postgres_server import home_url

if TYPE_CHECKING:
    from pathlib import Path

#: Opens the file as soon as vlmprobe lets go of it for a moment, says so, and keeps it.
_HOLD = """
import sys, time, duckdb
while True:
    try:
        connection = duckdb.connect(sys.argv[1])
        break
    except duckdb.Error:
        time.sleep(0.001)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.close()
"""
#: Takes the lock that every writer takes, says so, and keeps it.
_HOLD_POSTGRES = """
import sys, time, psycopg
with psycopg.connect(sys.argv[1]) as session:
    session.execute("LOCK TABLE alembic_version IN SHARE ROW EXCLUSIVE MODE")
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold_database(home: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Return once a process holds the database of a home; it lets go after so many seconds, or when killed."""
    url = home_url(home)
    code, what = (_HOLD, str(home / "vlmprobe.duckdb")) if url is None else (_HOLD_POSTGRES, url)
    holder = subprocess.Popen([sys.executable, "-c", code, what, str(seconds)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder
