"""What a start says of the run that it goes on with, or does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmprobe.store.runs import Run

__all__ = ["changed_line", "resume_line"]


def resume_line(run: Run, done: int, total: int, adopted: int) -> str:
    """Say how much of a run is there already; ``adopted`` shards of it were found without rows."""
    if run.status == "complete" and done == total:
        return f"{run.name}: complete already, all {total} pairs reused (run {run.run_id}); --new asks again"
    found = f", {adopted} shards of them found in the spool" if adopted else ""
    return f"{run.name}: resuming run {run.run_id}: {done} of {total} pairs reused{found}"


def changed_line(earlier: Mapping[str, Any]) -> str:
    """Say of a run that began on another content of the same file how to go on with it."""
    return (
        f"{earlier['path']} has changed since run {earlier['run_id']} began ({earlier['pairs']} pairs answered): "
        "this is another run; with the file as it was, the same command goes on with that one"
    )
