"""What an extraction must know of earlier runs: the file had other content, or the scale was another checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmprobe.store.places import places_of
from vlmprobe.store.rows import fetch_as

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

    from vlmprobe.store.runs import Run, RunPlan

__all__ = ["EarlierRun", "OtherCheckpoint", "begun_on_another_content", "other_checkpoint"]


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run that was started before the content of its file changed."""

    run_id: str
    path: str
    n_pairs: int
    """Pairs that it has answered."""


def begun_on_another_content(connection: Connection, run: Run) -> list[EarlierRun]:
    """Return incomplete runs of the same scale on the same file and options, but with other content."""
    found = fetch_as(
        EarlierRun,
        connection,
        """
        SELECT earlier.run_id, before.path,
            (SELECT count(DISTINCT pair_id) FROM predictions WHERE predictions.run_id = earlier.run_id) AS n_pairs
        FROM runs AS earlier
        INNER JOIN datasets AS before ON earlier.dataset_id = before.dataset_id
        INNER JOIN datasets AS now
            ON now.dataset_id = $dataset_id AND before.path = now.path AND before.options = now.options
        WHERE earlier.dataset_id <> $dataset_id AND earlier.template = $template
            AND earlier.family = $family AND earlier.scale = $scale AND earlier.status <> 'complete'
        ORDER BY earlier.created_at
        """,
        {"dataset_id": run.dataset_id, "template": run.template, "family": run.family, "scale": run.scale},
    )
    places = places_of(connection)
    return [replace(row, path=str(places.whole(row.path))) for row in found]


@dataclass(frozen=True, slots=True)
class OtherCheckpoint:
    """What a scale's name stood for in an earlier run."""

    checkpoint: str
    fingerprint: str
    created_at: datetime
    """Of the newest such run."""


def other_checkpoint(connection: Connection, plan: RunPlan) -> OtherCheckpoint | None:
    """Return the newest earlier checkpoint of a plan's scale, if no run of that scale has the plan's own."""
    found = fetch_as(
        OtherCheckpoint,
        connection,
        """
        SELECT checkpoint, fingerprint, created_at FROM runs
        WHERE family = $family AND scale = $scale AND provenance = 'extracted' AND fingerprint IS NOT NULL
        ORDER BY created_at DESC, run_id DESC
        """,
        {"family": plan.family, "scale": plan.scale},
    )
    known = {each.fingerprint for each in found}
    return found[0] if found and plan.fingerprint not in known else None
