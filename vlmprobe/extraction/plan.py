"""Which batches and pairs of a run a session infers: all of them, or those of a part.

The plan is a function of the dataset and the batch size, which is stored with the run. Whoever comes first with a part
stores it; the others obey, or batches would overlap and leave gaps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.extraction.batches import plan_batches
from vlmprobe.store.row_lease import check_lease
from vlmprobe.store.runs import get_run, set_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from vlmprobe.extraction.batches import Batch
    from vlmprobe.extraction.request import ExtractOptions, Prepared
    from vlmprobe.pairs import SwapPair
    from vlmprobe.store.parts import Part
    from vlmprobe.store.runs import Run

__all__ = ["batches_of", "check_batch_size", "check_options", "fix_batch_size", "pairs_of", "plan_run"]


def check_options(options: ExtractOptions) -> None:
    """Check options before anything is read.

    Raises:
        UsageError: a batch would have no pair, or every part would start a run of its own.
    """
    if options.batch_size is not None and options.batch_size < 1:
        raise UsageError(f"--batch-size must be 1 or more, not {options.batch_size}")
    if options.part is not None and options.new:
        raise UsageError(
            "--part cannot go with --new, with which every part would start a run of its own; start the new run "
            "with --new alone, stop it with Ctrl-C, then extract its parts"
        )


def check_batch_size(run: Run, part: Part | None, wanted: int | None) -> None:
    """Check that a part goes by the plan that its run began with; a whole run keeps that whatever is wanted.

    Raises:
        UsageError: another batch size is wanted.
    """
    begun = run.batch_size
    if part is not None and begun is not None and wanted not in (None, begun):
        raise UsageError(
            f"{run.name}: run {run.run_id} began with --batch-size {begun}, which all its parts keep, not {wanted}; "
            "leave the option out"
        )


def fix_batch_size(connection: Connection, run_id: str, batch_size: int) -> Run:
    """Store how many pairs a batch of a run has, unless that is stored already; return the run."""
    check_lease(connection, run_id)
    run = get_run(connection, run_id)
    if run.batch_size is None:
        set_config(connection, run_id, {**run.config, "batch_size": batch_size})
    return get_run(connection, run_id)


def plan_run(prepared: Prepared, batch_size: int) -> list[Batch]:
    """Plan the dataset's own pairs as if there were no quads; boxes added later must not change them."""
    batches = plan_batches(prepared.dataset.pairs, batch_size)
    return [*batches, *plan_batches(prepared.quad_pairs, batch_size, first=len(batches))]


def batches_of(prepared: Prepared, batch_size: int, part: Part | None) -> list[Batch]:
    """Return the batches of a run, or those of a part."""
    return [batch for batch in plan_run(prepared, batch_size) if part is None or part.has_batch(batch.number)]


def pairs_of(prepared: Prepared, run: Run, part: Part | None) -> Sequence[SwapPair]:
    """Return the pairs of a run, or those of a part, which may be any before the run has a batch size."""
    if part is None or run.batch_size is None:
        return prepared.pairs
    return [pair for batch in batches_of(prepared, run.batch_size, part) for pair in batch.pairs]
