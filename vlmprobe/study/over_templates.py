"""The metrics of the same pairs under several question templates, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.analysis import CATALOG
from vlmprobe.errors import unknown_name
from vlmprobe.reports import TemplatePoint
from vlmprobe.store.queries import load_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run

__all__ = ["check_metrics", "over_templates"]


def check_metrics(names: Sequence[str]) -> None:
    """Check the names of metrics before hours of work depend on them.

    Raises:
        UsageError: there is no metric of a name; the message lists those there are.
    """
    known = [entry.name for entry in CATALOG.values() if entry.is_number]
    for name in names:
        if name not in known:
            raise unknown_name("metric", name, sorted(known))


def over_templates(
    database: Database, runs: Sequence[Run], metrics: Sequence[str] = ()
) -> list[TemplatePoint]:
    """Return a point per metric, target and template of each scale that was analyzed under several.

    Args:
        database: where the metrics are.
        runs: those to compare; of one template the newest counts.
        metrics: their names, in the order to be shown in; the query's own choice when empty.

    Raises:
        UsageError: there is no metric of a name; the message lists those there are.
    """
    check_metrics(metrics)
    given = {"run_ids": ",".join(run.run_id for run in runs)}
    if metrics:
        given["metrics"] = ",".join(dict.fromkeys(metrics))
    with database.transaction(write=False) as connection:
        return load_query("consistency/over_templates").rows(TemplatePoint, connection, given)
