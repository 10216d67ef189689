"""A foreign process that opens a home's database and keeps it: someone's DuckDB shell."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

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


def hold_database(home: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Return once a process holds the database of a home; it lets go after so many seconds, or when killed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, home / "vlmprobe.duckdb", str(seconds)], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder
