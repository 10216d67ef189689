"""What a command must know of earlier runs: the file had other content, or the scale was another checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmprobe.store.places import places_of
from vlmprobe.store.rows import fetch_as

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from vlmprobe.store.listed_runs import ListedRun
    from vlmprobe.store.runs import Run, RunPlan

__all__ = [
    "EarlierRun",
    "OtherCheckpoint",
    "ScaleCheckpoint",
    "begun_on_another_content",
    "of_another_checkpoint",
    "other_checkpoint",
]


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
            ON now.dataset_id = $dataset_id AND before.path = now.path
            AND CAST(before.options AS VARCHAR) = CAST(now.options AS VARCHAR)
        WHERE earlier.dataset_id <> $dataset_id AND earlier.template = $template
            AND earlier.family = $family AND earlier.scale = $scale AND earlier.status <> 'complete'
            AND earlier.control IS NULL
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
            AND control IS NULL
        ORDER BY created_at DESC NULLS LAST, run_id DESC NULLS LAST
        """,
        {"family": plan.family, "scale": plan.scale},
    )
    known = {each.fingerprint for each in found}
    return found[0] if found and plan.fingerprint not in known else None


@dataclass(frozen=True, slots=True)
class ScaleCheckpoint:
    """The checkpoint that a run of a scale is of."""

    run_id: str
    scale: str
    checkpoint: str
    fingerprint: str | None
    """None of imported runs: nothing tells what their weights were."""
    created_at: datetime

    def __str__(self) -> str:
        """Return it as messages name it."""
        known = "no fingerprint" if self.fingerprint is None else f"fingerprint {self.fingerprint[:12]}"
        return f"{self.checkpoint} ({known}, run of {self.created_at:%Y-%m-%d %H:%M} UTC)"

    @property
    def weights(self) -> tuple[str | None, str | None]:
        """What is equal for equal weights, as far as anything tells: the fingerprint, or else the checkpoint."""
        return self.fingerprint, self.checkpoint if self.fingerprint is None else None


def of_another_checkpoint(
    connection: Connection, runs: Sequence[ListedRun], scale: str
) -> tuple[ScaleCheckpoint, ScaleCheckpoint] | None:
    """Return the first of some runs of one family whose checkpoint another scale has no run of, and what that scale is.

    None if the scale has no other runs, or has runs of each of their checkpoints.
    """
    found = fetch_as(
        ScaleCheckpoint,
        connection,
        """
        SELECT run_id, scale, checkpoint, fingerprint, created_at FROM runs
        WHERE family = $family AND control IS NULL
        ORDER BY created_at DESC NULLS LAST, run_id DESC NULLS LAST
        """,
        {"family": runs[0].family},
    )
    named = {run.run_id for run in runs}
    there = [each for each in found if each.scale == scale and each.run_id not in named]
    known = {each.weights for each in there}
    other = next((each for each in found if each.run_id in named and each.weights not in known), None)
    return (other, there[0]) if there and other is not None else None
