"""What ad-hoc SQL on either database shares: what is asked, its limits, and the answer of the child process."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmprobe.errors import DatabaseError, StaleSchemaError, UsageError, VlmprobeError

__all__ = [
    "EXPLAIN",
    "MEMORY_MIB",
    "OUR_FOLDER",
    "RAISED",
    "Table",
    "check_request",
    "distinct_names",
    "plain",
    "reply_within_limits",
]

MEMORY_MIB = 1024
#: The largest reply, as JSON; the parent process holds it in memory three times.
_MAX_REPLY = 256 * 2**20
_LONGEST_S, _MOST_ROWS = 86_400.0, 10**9
#: For the path of a child process.
OUR_FOLDER = str(Path(__file__).resolve().parents[2])
#: White space and comments. It can match in only one way; otherwise a text of many comments takes forever.
_GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)*"
EXPLAIN = re.compile(
    rf"{_GAP}EXPLAIN\b{_GAP}(?P<analyze>ANALYZE\b{_GAP})?(?P<options>\([\w\s,]*\))?",
    re.IGNORECASE,
)
#: Kind of error that the child reports -> exception to raise.
RAISED: dict[str, type[VlmprobeError]] = {
    "sql": UsageError,
    "database": DatabaseError,
    "schema": StaleSchemaError,
    "limit": VlmprobeError,
}


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a query; values of types that JSON lacks are text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False


def check_request(sql: str, timeout_s: float, max_rows: int) -> None:
    """Check a statement's limits and letters.

    Raises:
        UsageError: one is out of range, or the text is no UTF-8.
    """
    if not 0 < timeout_s <= _LONGEST_S or not 0 <= max_rows <= _MOST_ROWS:
        raise UsageError(
            f"--timeout {timeout_s:g} or --max-rows {max_rows} is out of range; use a timeout above 0 "
            f"and up to {_LONGEST_S:.0f} s, and 0 to {_MOST_ROWS} rows"
        )
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the SQL is not UTF-8: character {error.start + 1} cannot be encoded") from None


def reply_within_limits(answer: dict[str, Any]) -> str:
    """Return an answer as JSON, or an error where it is too large."""
    text = json.dumps(answer)
    if len(text) <= _MAX_REPLY:
        return text
    limit = _MAX_REPLY // 2**20
    error = f"the result is larger than {limit} MiB; select fewer rows, fewer columns or shorter texts"
    return json.dumps({"kind": "limit", "error": error})


def distinct_names(names: list[str]) -> list[str]:
    """Rename duplicate columns as DuckDB's own relations do: a, a_1, a_2."""
    taken: set[str] = set()
    for place, name in enumerate(names):
        number, free = 0, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        names[place] = free
        taken.add(free)
    return names


def plain(value: Any) -> Any:
    """Return a value that JSON has; others as text."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
