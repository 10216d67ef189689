"""Parts of a run in the database: how far each is, and what that makes of the run.

The rows say how far processes came, not which answers there are: a run is complete when nothing is left to ask, whoever
asked it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from vlmprobe.store.clock import clock
from vlmprobe.store.identity import utc_now
from vlmprobe.store.lease_rows import add_part, describe_holder, is_alive, is_held
from vlmprobe.store.row_lease import has_row_leases
from vlmprobe.store.rows import fetch_column
from vlmprobe.store.schema import RunPart

if TYPE_CHECKING:
    from collections.abc import Set
    from typing import Any

    from sqlalchemy import Connection

    from vlmprobe.store.parts import Part

__all__ = ["set_part"]


def set_part(connection: Connection, run_id: str, part: Part, status: str, wanted: Set[str]) -> str:
    """Set the status of a part; return the one that the run has with it.

    The run is ``running`` while another part is. Once none is, it is ``complete`` if nothing is left to ask, else what
    became of this part; if that is done, and others are not, ``interrupted`` or ``failed``.

    Args:
        connection: a transaction that nobody else writes beside.
        run_id: the run.
        part: the part that this process extracts.
        status: ``running``, ``complete``, ``interrupted`` or ``failed``.
        wanted: ids of all pairs of the run.
    """
    add_part(connection, run_id, part)
    values: dict[str, Any] = {"status": status, "updated_at": utc_now()}
    if not has_row_leases(connection):
        # Locks on files exclude; this only says whose process it is.
        values["lease"] = describe_holder("", 0.0) if status == "running" else None
    ours = (RunPart.run_id == run_id, RunPart.n_parts == part.n_parts, RunPart.part == part.number)
    connection.execute(update(RunPart).where(*ours).values(**values))
    others = connection.execute(
        select(RunPart.status, RunPart.lease).where(
            RunPart.run_id == run_id, RunPart.n_parts == part.n_parts, RunPart.part != part.number
        )
    ).all()
    if status == "running" or any(_is_at_work(connection, *other) for other in others):
        return "running"
    if status != "complete":
        return status
    if any(other.status == "failed" for other in others):
        return "failed"
    return "interrupted" if wanted - _tried(connection, run_id) else "complete"


def _is_at_work(connection: Connection, status: str, lease: str | None) -> bool:
    """Return whether a part's process is not known to have ended, however it did."""
    if status != "running":
        return False
    holder = json.loads(lease) if lease else None
    if has_row_leases(connection):
        return is_held(holder, clock(connection))
    return holder is not None and is_alive(holder)


def _tried(connection: Connection, run_id: str) -> set[str]:
    """Return the ids of pairs with both answers, and of those that failed."""
    sql = """
        SELECT pair_id FROM predictions WHERE run_id = $id GROUP BY pair_id HAVING count(*) = 2
        UNION
        SELECT pair_id FROM failures WHERE run_id = $id
    """
    return set(fetch_column(connection, sql, {"id": run_id}))
