"""Which of the runs that match are compared, and which of their layers are shown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vlmprobe.analysis import representative_layers
from vlmprobe.errors import UsageError
from vlmprobe.names import safe_name
from vlmprobe.pairs import get_template, is_under, read_dataset
from vlmprobe.store.rows import fetch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run

__all__ = ["choose_layers", "dataset_of", "newest_of_each_scale", "of_template"]

#: Layers that stand for all where no others are asked for.
N_LAYERS = 5


def dataset_of(database: Database, data: Path | None, max_per_category: int) -> str | None:
    """Return the id of the dataset that ``--data`` names: a file, or the name or id (its beginning) of one here.

    Raises:
        InputError: there is no such file and no such dataset.
        UsageError: several datasets have that name.
    """
    if data is None:
        return None
    if not data.exists():
        with database.transaction() as connection:
            found = fetch(
                connection,
                "SELECT dataset_id FROM datasets "
                "WHERE name = $text OR (len($text) >= 6 AND starts_with(dataset_id, $text))",
                {"text": str(data)},
            )
        if len(found) == 1:
            return str(found[0]["dataset_id"])
        if found:
            ids = ", ".join(row["dataset_id"][:12] for row in found)
            raise UsageError(f"several datasets are called {data}: {ids}; give the beginning of an id")
    return read_dataset(data, max_per_category=max_per_category).dataset_id


def newest_of_each_scale(found: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Keep the newest run of each scale, on the one dataset there may be; say where there were several.

    Raises:
        UsageError: the runs are on several datasets; the message names them. Or a family or scale is called what
            could lead a file out of its folder, which only another program's hand in the database can have done.
    """
    for run in found:
        safe_name(run.family, "family")
        safe_name(run.scale, "scale")
    datasets = sorted({(run.dataset, run.dataset_id[:12], run.template) for run in found})
    if len(datasets) > 1:
        listed = ", ".join(f"{name} ({mark}, {template})" for name, mark, template in datasets)
        raise UsageError(f"runs on several datasets match: {listed}; choose one with --data FILE or NAME")
    newest = {(run.family, run.scale): run for run in found}
    counts = Counter((run.family, run.scale) for run in found)
    notes = [
        f"{family} @ {scale}: {n} complete runs; the newest is shown"
        for (family, scale), n in counts.items()
        if n > 1
    ]
    return list(newest.values()), notes


def of_template(found: Sequence[Run], template: str) -> tuple[list[Run], list[str]]:
    """Keep the runs under a template; say which others there are, so that nobody takes them for lost.

    Raises:
        UsageError: no run is under that template, or there is no such template.
    """
    get_template(template)
    kept = [run for run in found if is_under(run.template, template)]
    others: dict[str, list[str]] = {}
    for run in found:
        if not is_under(run.template, template):
            others.setdefault(run.template, []).append(f"{run.family} @ {run.scale}")
    listed = "; ".join(f"{name} ({', '.join(dict.fromkeys(runs))})" for name, runs in others.items())
    if not kept:
        raise UsageError(
            f"no run under template {template} matches; there are: {listed}; choose with --template NAME"
        )
    notes = [f"there are runs under other templates too: {listed}; --template NAME shows them"]
    return kept, notes if others else []


def choose_layers(
    run: Run, arrays: RunArrays, layers: Sequence[int] | None, *, all_layers: bool
) -> tuple[int, ...]:
    """Return the layers to show: those asked for, all, or five spread evenly over the depth.

    Raises:
        UsageError: the run has not a layer asked for.
    """
    if all_layers:
        return tuple(arrays.layers)
    if layers is None:
        return representative_layers(arrays.layers, N_LAYERS)
    missing = sorted(set(layers) - set(arrays.layers))
    if missing:
        raise UsageError(f"{run.name} has no layer {', '.join(map(str, missing))}; it has {arrays.layers}")
    return tuple(sorted(set(layers)))
