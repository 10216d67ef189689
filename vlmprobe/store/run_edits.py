"""Removes a run's rows, or gives a run another scale's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select, update

from vlmprobe.errors import UsageError
from vlmprobe.store.identity import run_key, utc_now
from vlmprobe.store.kept_rows import KEPT
from vlmprobe.store.runs import find_run
from vlmprobe.store.schema import (
    Certificate,
    Failure,
    MetricRow,
    Prediction,
    ResultJson,
    RunPart,
    RunRow,
    Shard,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.store.runs import Run

__all__ = ["delete_run", "rename_run"]

#: Key in a run's config: samples seen and steps, as it was extracted.
_OWN_TRAINING = "own_training"

_OF_RUN = (*KEPT, Prediction, Failure, Shard, Certificate, MetricRow, ResultJson, RunPart, RunRow)


def delete_run(connection: Connection, run_id: str) -> None:
    """Delete every row of a run; its dataset and pairs stay, since other runs may be on them."""
    for table in _OF_RUN:
        connection.execute(delete(table).where(table.run_id == run_id))


def rename_run(connection: Connection, run: Run, scale: str, training: tuple[int | None, int | None]) -> None:
    """Give a run another scale, as if it had been extracted under it: the same command then resumes it.

    Args:
        connection: in a transaction.
        run: the run.
        scale: its new scale.
        training: samples seen and steps that the new name stands for; None = as the run had them before any rename.

    Raises:
        UsageError: the new scale has that very run already.
    """
    config = connection.execute(select(RunRow.config).where(RunRow.run_id == run.run_id)).scalar_one() or {}
    samples, steps = training
    # Kept, so that the run has its own numbers again when its name no longer stands for any.
    own_samples, own_steps = config.setdefault(_OWN_TRAINING, [run.samples_seen, run.global_steps])
    values: dict[str, Any] = {
        "scale": scale,
        "samples_seen": own_samples if samples is None else samples,
        "global_steps": own_steps if steps is None else steps,
        "config": config,
        "updated_at": utc_now(),
    }
    # An imported run has no identity; its key says where it came from.
    if identity := config.get("identity"):
        identity = {**identity, "scale": scale}
        key, number = run_key(identity), run.run_key.partition("#")[2]
        if (there := find_run(connection, key)) is not None:
            raise UsageError(
                f"{run.family} @ {scale} has the same run already ({there.run_id}); remove one of the two first"
            )
        values["run_key"] = f"{key}#{number}" if number else key
        values["config"] = {**config, "identity": identity}
    connection.execute(update(RunRow).where(RunRow.run_id == run.run_id).values(**values))
