"""Writes a shard's rows in one transaction, so that a crash leaves a shard with all of its rows or none."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from vlmprobe.store.identity import this_host, utc_now
from vlmprobe.store.kept_rows import forget_rows, renew_rows
from vlmprobe.store.places import places_of
from vlmprobe.store.row_lease import check_lease
from vlmprobe.store.rows import fetch, fetch_as, fetch_column, insert_rows
from vlmprobe.store.runs import renew_lease
from vlmprobe.store.schema import Certificate, Failure, Prediction, RunPart, RunRow, Shard

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from vlmprobe.store.parts import Part
    from vlmprobe.store.shards import FailureRecord, ShardFile

__all__ = [
    "PairAnswers",
    "answered_pairs",
    "commit_failures",
    "commit_shard",
    "finished_pairs",
    "forget_shard",
    "has_failed_certificate",
    "next_shard_number",
    "prediction_rows",
    "restore_rows",
]


def commit_shard(connection: Connection, shard: ShardFile) -> int:
    """Write a shard's predictions, certificates and its own row; return the pairs that were new.

    Answers that come with quads' deltas point at no shard, because their states are unknown.

    The same shard again adds nothing. A pair that another shard answered keeps that answer, unless this one
    replaces it.

    Raises:
        LeaseLostError: another process took the run over from this one.
        LeaseHeldError: another process has it.
    """
    check_lease(connection, shard.run_id)
    if shard.replaces:
        _delete_replaced(connection, shard)
    added = insert_rows(connection, Prediction, prediction_rows(shard))
    insert_rows(connection, Shard, [_shard_row(connection, shard)])
    insert_rows(
        connection,
        Certificate,
        [{"run_id": shard.run_id, "created_at": utc_now(), **c} for c in shard.certificates],
    )
    renew_rows(connection, shard.run_id)
    renew_lease(connection, shard.run_id)
    return added // 2


def prediction_rows(shard: ShardFile) -> list[dict[str, Any]]:
    """Return a shard's answers as rows of ``predictions``."""
    places = {pair_id: row for row, pair_id in enumerate(shard.pair_ids)}
    has_states = shard.kind == "states"
    return [
        {
            "run_id": shard.run_id,
            **asdict(answer),
            "shard": shard.number if has_states else None,
            "shard_row": places[answer.pair_id] if has_states else None,
        }
        for answer in shard.answers
    ]


def _shard_row(connection: Connection, shard: ShardFile) -> dict[str, Any]:
    """Build the row of a shard after its answers are written; ``n_pairs`` counts those that point at it."""
    return {
        "run_id": shard.run_id,
        "shard": shard.number,
        "kind": shard.kind,
        "path": places_of(connection).stored(shard.path),
        "host": this_host(),
        "sha256": shard.sha256,
        "n_bytes": shard.n_bytes,
        "n_pairs": _n_pairs(connection, shard) if shard.kind == "states" else len(shard.pair_ids),
        "layers": list(shard.layers),
        "dim": shard.dim,
        "dtype": shard.dtype,
        "created_at": utc_now(),
    }


def restore_rows(connection: Connection, shard: ShardFile, *, is_complete: bool) -> None:
    """Restore the rows that point at a shard from its header; pairs answered by another shard stay there.

    In an incomplete run, pairs without any row are not restored; the next extraction infers them.
    """
    check_lease(connection, shard.run_id)
    of_shard = (Prediction.run_id == shard.run_id, Prediction.shard == shard.number)
    asked = set(connection.execute(select(Prediction.pair_id).where(*of_shard)).scalars())
    connection.execute(delete(Prediction).where(*of_shard))
    rows = [row for row in prediction_rows(shard) if is_complete or row["pair_id"] in asked]
    insert_rows(connection, Prediction, rows)
    connection.execute(
        update(Shard)
        .where(Shard.run_id == shard.run_id, Shard.shard == shard.number)
        .values(n_pairs=_n_pairs(connection, shard))
    )
    renew_rows(connection, shard.run_id)


def forget_shard(connection: Connection, run_id: str, number: int) -> int:
    """Remove a shard whose states are lost, and the answers that point at it; return their number of pairs.

    A complete run becomes ``interrupted``, so the next extraction infers these pairs again.
    """
    check_lease(connection, run_id)
    of_shard = (Prediction.run_id == run_id, Prediction.shard == number)
    count = select(func.count(func.distinct(Prediction.pair_id))).where(*of_shard)
    n_pairs = int(connection.execute(count).scalar_one())
    connection.execute(delete(Prediction).where(*of_shard))
    connection.execute(delete(Shard).where(Shard.run_id == run_id, Shard.shard == number))
    if n_pairs:
        forget_rows(connection, run_id)
        connection.execute(
            update(RunRow)
            .where(RunRow.run_id == run_id, RunRow.status == "complete")
            .values(status="interrupted")
        )
        connection.execute(
            update(RunPart)
            .where(RunPart.run_id == run_id, RunPart.status == "complete")
            .values(status="interrupted")
        )
    return n_pairs


def _n_pairs(connection: Connection, shard: ShardFile) -> int:
    """Count the pairs whose rows point at a shard; it may hold more that another shard had answered first."""
    statement = select(func.count(func.distinct(Prediction.pair_id))).where(
        Prediction.run_id == shard.run_id, Prediction.shard == shard.number
    )
    return int(connection.execute(statement).scalar_one())


def _delete_replaced(connection: Connection, shard: ShardFile) -> None:
    """Delete other shards' rows of the pairs that this shard replaces, and lower their pair counts."""
    run_id = shard.run_id
    of_pairs = (
        Prediction.run_id == run_id,
        Prediction.pair_id.in_(list(shard.pair_ids)),
        Prediction.shard != shard.number,
    )
    counts = connection.execute(
        select(Prediction.shard, func.count(func.distinct(Prediction.pair_id)))
        .where(*of_pairs)
        .group_by(Prediction.shard)
    ).all()
    for number, n_pairs in counts:
        connection.execute(
            update(Shard)
            .where(Shard.run_id == run_id, Shard.shard == number)
            .values(n_pairs=Shard.n_pairs - n_pairs)
        )
    connection.execute(delete(Prediction).where(*of_pairs))


def commit_failures(
    connection: Connection, run_id: str, failures: Sequence[FailureRecord], *, at: datetime | None = None
) -> None:
    """Write failed pairs, each as one more attempt.

    Args:
        connection: an open transaction.
        run_id: the run.
        failures: the pairs.
        at: when they failed, now by default. The same pairs with the same time again add nothing.
    """
    if not failures:
        return
    check_lease(connection, run_id)
    tried = {
        row["pair_id"]: row
        for row in fetch(
            connection,
            """
            SELECT pair_id, max(attempt) AS attempts, max(failed_at) AS last
            FROM failures WHERE run_id = $id GROUP BY pair_id
            """,
            {"id": run_id},
        )
    }
    for failure in failures:
        before = tried.get(failure.pair_id)
        if before is not None and at is not None and before["last"] == at:
            continue
        connection.execute(
            insert(Failure).values(
                run_id=run_id,
                pair_id=failure.pair_id,
                attempt=1 if before is None else before["attempts"] + 1,
                error=failure.error,
                message=failure.message,
                failed_at=at or utc_now(),
            )
        )
    renew_rows(connection, run_id)


def next_shard_number(connection: Connection, run_id: str, part: Part | None = None) -> int:
    """Return the number after the highest shard of a run; of a part, the next of its own after its highest."""
    numbers = fetch_column(connection, "SELECT shard FROM shards WHERE run_id = $id", {"id": run_id})
    if part is None:
        return max(numbers, default=0) + 1
    return max(filter(part.has_shard, numbers), default=part.number - part.n_parts) + part.n_parts


def has_failed_certificate(connection: Connection, run_id: str) -> bool:
    """Return whether the fast path failed a certificate in this run."""
    (count,) = fetch_column(
        connection, "SELECT count(*) FROM certificates WHERE run_id = $id AND NOT passed", {"id": run_id}
    )
    return bool(count)


@dataclass(frozen=True, slots=True)
class PairAnswers:
    """A pair with both answers of a run (a row of the view ``every_pair_answer``), and the facts of the pair."""

    pair_id: str
    category: str
    orig_text: str | None
    swap_text: str | None
    orig_correct: bool
    swap_correct: bool
    question_id: str | None
    subject: str | None
    reference: str | None
    orig_question: str | None
    swap_question: str | None
    image_sha256: str | None
    image_width: int | None
    image_height: int | None
    perspective: str | None


def finished_pairs(connection: Connection, run_id: str) -> set[str]:
    """Return the ids of pairs with both answers."""
    sql = "SELECT pair_id FROM predictions WHERE run_id = $id GROUP BY pair_id HAVING count(*) = 2"
    return set(fetch_column(connection, sql, {"id": run_id}))


def answered_pairs(connection: Connection, run_id: str) -> list[PairAnswers]:
    """Return the pairs with both answers, including those of quads."""
    return fetch_as(
        PairAnswers,
        connection,
        """
        SELECT every_pair_answer.*, swap_pairs.question_id, swap_pairs.subject, swap_pairs.reference,
            swap_pairs.orig_question, swap_pairs.swap_question,
            swap_pairs.image_sha256, swap_pairs.image_width, swap_pairs.image_height
        FROM every_pair_answer
        INNER JOIN runs ON every_pair_answer.run_id = runs.run_id
        INNER JOIN swap_pairs
            ON runs.dataset_id = swap_pairs.dataset_id
            AND runs.template = swap_pairs.template
            AND every_pair_answer.pair_id = swap_pairs.pair_id
        WHERE every_pair_answer.run_id = $id
        """,
        {"id": run_id},
    )
