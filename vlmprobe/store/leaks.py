"""What a dataset gives away before any model is asked, kept with it: one row for each check and axis."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import delete

from vlmprobe.analysis.leaks import Leak
from vlmprobe.store.rows import fetch_as, insert_rows
from vlmprobe.store.schema import LeakRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

__all__ = ["read_leaks", "store_leaks"]


def store_leaks(connection: Connection, dataset_id: str, template: str, leaks: Sequence[Leak]) -> None:
    """Make the stored rows of a dataset under a template equal to ``leaks``, in their order."""
    of_dataset = (LeakRow.dataset_id == dataset_id, LeakRow.template == template)
    connection.execute(delete(LeakRow).where(*of_dataset))
    rows = [
        {"dataset_id": dataset_id, "template": template, "position": position, **asdict(leak)}
        for position, leak in enumerate(leaks)
    ]
    insert_rows(connection, LeakRow, rows)


def read_leaks(connection: Connection, dataset_id: str, template: str) -> list[Leak]:
    """Return what is known of a dataset under a template; empty where it was never checked."""
    return fetch_as(
        Leak,
        connection,
        """
        SELECT name, target, value, chance, ci_low, ci_high, p_value, p_holm, n, n_images, draws, seed, method, detail,
            reason, says
        FROM leaks WHERE dataset_id = $id AND template = $template ORDER BY position
        """,
        {"id": dataset_id, "template": template},
    )
