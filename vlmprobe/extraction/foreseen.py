"""Whether a model will be asked, before the database is written: it can then be loaded meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.store.runs import find_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.extraction.control import Asked
    from vlmprobe.extraction.request import ExtractOptions, Prepared
    from vlmprobe.store.engine import Database

__all__ = ["lacks_answers"]


def lacks_answers(
    database: Database, options: ExtractOptions, first: Prepared, asked: Sequence[Asked]
) -> bool:
    """Return whether one of the runs that are asked for is not complete, as far as one look at the database tells.

    False with ``options.wait`` too: another process may have to leave the device first. And false for controls, which
    may be refused.
    """
    if options.wait or any(each.control is not None for each in asked):
        return False
    if options.new:
        return True
    keys = [first.under(each.template).plan.run_key for each in asked]
    with database.transaction(write=False) as connection:
        runs = [find_run(connection, key) for key in keys]
    return any(run is None or run.status != "complete" for run in runs)
