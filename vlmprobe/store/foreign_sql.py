"""Functions that foreign SQL may not call, neither in queries nor in a database's views and macros."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vlmprobe.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["DEFINITIONS_SQL", "REFUSED", "REFUSED_WORD", "check_definitions"]

#: Functions that are legal in a SELECT but do more than read: they write a log (even to standard output),
#: take memory addresses, or run SQL that is hidden in text.
REFUSED = frozenset(
    (
        *("enable_logging", "disable_logging", "enable_profiling", "disable_profiling", "write_log"),
        *("truncate_duckdb_logs", "checkpoint", "force_checkpoint"),
        *("arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_map_function"),
        *("json_execute_serialized_sql", "query"),
    )
)
REFUSED_WORD = re.compile(rf"\b({'|'.join(sorted(REFUSED))})\b", re.IGNORECASE)
#: DuckDB stores definitions in normalized form and without comments, so every call looks like this.
_REFUSED_CALL = re.compile(rf"\b({'|'.join(sorted(REFUSED))})\"?\(", re.IGNORECASE)

DEFINITIONS_SQL = """
SELECT view_name AS name, sql AS definition FROM duckdb_views() WHERE NOT internal
UNION ALL
SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal
"""


def check_definitions(where: Path | str, definitions: Iterable[tuple[str, str | None]]) -> None:
    """Check the views and macros of a database, which may come from anywhere, before any is queried.

    Args:
        where: the database, for the message.
        definitions: name and SQL of each, as ``DEFINITIONS_SQL`` gives them.

    Raises:
        DatabaseError: one calls what does more than read.
    """
    for name, definition in definitions:
        if found := _REFUSED_CALL.search(definition or ""):
            raise DatabaseError(
                f"{where}: its {name[:60]} calls {found[1]}, which no view of vlmprobe does, so it was not run; "
                "use a database from a source that you trust"
            )
