"""Rows that are kept of each complete run, so that lists and views need not aggregate its predictions.

Three tables: both answers to each pair, counts by group, counts of the run. They hold what the views
``every_computed_*`` say. A run has them exactly while it is complete; of any other run the views compute. Whatever
changes the predictions, the failures or the pairs of a complete run makes them again in the same transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, select, text

from vlmprobe.store.schema import KeptAnswerCount, KeptPairAnswer, KeptRunCounts, RunRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["KEPT", "forget_rows", "keep_rows", "renew_counts", "renew_rows"]

#: What can be made again from the other tables. The last one tells that the others are there.
KEPT = (KeptPairAnswer, KeptAnswerCount, KeptRunCounts)

_PAIRS = """
INSERT INTO kept_pair_answers
    (run_id, pair_id, orig_text, swap_text, orig_margin, swap_margin, orig_correct, swap_correct)
SELECT run_id, pair_id, orig_text, swap_text, orig_margin, swap_margin, orig_correct, swap_correct
FROM every_computed_pair_answer
WHERE run_id = :run_id
"""
_COUNTS = """
INSERT INTO kept_answer_counts (run_id, kind, name, side, n_images, n, k, nn, kk, kn)
SELECT run_id, kind, name, side, n_images, n, k, nn, kk, kn
FROM every_computed_answer_count
WHERE run_id = :run_id
"""
_RUN = """
INSERT INTO kept_run_counts (run_id, n_pairs, n_answers, n_unnamed, n_failed)
SELECT runs.run_id, coalesce(n_pairs, 0), coalesce(n_answers, 0), coalesce(n_unnamed, 0), coalesce(n_failed, 0)
FROM runs
LEFT JOIN every_computed_run_count AS computed ON runs.run_id = computed.run_id
WHERE runs.run_id = :run_id
"""


def keep_rows(connection: Connection, run_id: str) -> None:
    """Make the kept rows of a run that has none; it must be complete."""
    for statement in (_PAIRS, _COUNTS, _RUN):
        connection.execute(text(statement), {"run_id": run_id})


def forget_rows(connection: Connection, run_id: str) -> None:
    """Delete the kept rows of a run."""
    for table in KEPT:
        connection.execute(delete(table).where(table.run_id == run_id))


def renew_rows(connection: Connection, run_id: str) -> None:
    """Make the kept rows of a run again, if it has any, after its predictions or failures have changed."""
    kept = select(KeptRunCounts.run_id).where(KeptRunCounts.run_id == run_id)
    if connection.execute(kept).first() is not None:
        forget_rows(connection, run_id)
        keep_rows(connection, run_id)


def renew_counts(connection: Connection, dataset_id: str, template: str) -> None:
    """Make the kept counts of all runs on these pairs again, after the pairs have changed."""
    kept = select(RunRow.run_id).where(
        RunRow.dataset_id == dataset_id,
        RunRow.template == template,
        exists().where(KeptRunCounts.run_id == RunRow.run_id),
    )
    for run_id in connection.execute(kept).scalars().all():
        connection.execute(delete(KeptAnswerCount).where(KeptAnswerCount.run_id == run_id))
        connection.execute(text(_COUNTS), {"run_id": run_id})
