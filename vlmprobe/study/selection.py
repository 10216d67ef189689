"""Selects which matching runs are compared and which of their layers are shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal, TypeAlias

from vlmprobe.analysis import representative_layers
from vlmprobe.errors import UsageError
from vlmprobe.pairs import Benchmarks, get_template, is_under
from vlmprobe.safe_names import safe_name
from vlmprobe.store.datasets import find_datasets
from vlmprobe.store.image_swaps import exchanged_datasets
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.store.metrics import analyzed_runs
from vlmprobe.store.runs import complete_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set
    from pathlib import Path

    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["Chosen", "LayerChoice", "Selection", "choose_layers", "newest_of_each_scale", "no_metrics"]

#: Layers to show: their numbers, all of them, or (None) five spread evenly over the depth.
LayerChoice: TypeAlias = "Sequence[int] | Literal['all'] | None"
_SPREAD = 5


@dataclass(frozen=True, slots=True)
class Chosen:
    """The runs that a selection finds under one template."""

    runs: tuple[Run, ...]
    """The newest analyzed run of each scale."""
    notes: tuple[str, ...]
    """One note for each scale with several runs to choose from."""
    everything: tuple[Run, ...]
    """All matching complete runs, whatever their template."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters that select runs; an empty filter matches all."""

    families: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    data: Path | None = None
    """A benchmark file, or a dataset in the database by its name or the beginning of its id."""
    max_per_category: int = 200
    """If ``data`` is a file: the pairs per category that the runs were extracted with."""
    allow_contradictions: bool = False
    """If ``data`` is a file: whether only runs count that were extracted with its contradicting rows."""

    def complete_runs(
        self, workspace: Workspace, templates: Sequence[str] = (), *, exchanged: bool = False
    ) -> list[Run]:
        """Return the matching complete runs.

        Without ``data``, runs on image swaps of another dataset are left out where others match, and a line says so:
        they are asked for what they say of the others. With ``exchanged`` they stay.

        Raises:
            UsageError: no run matches (the message lists the existing ones), or there is no such template.
            InputError: there is no such dataset.
        """
        database = workspace.database
        dataset_id = dataset_of(
            database,
            self.data,
            self.max_per_category,
            allow_contradictions=self.allow_contradictions,
            benchmarks=workspace.benchmarks,
        )
        for template in templates:
            get_template(template)
        with database.transaction(write=False) as connection:
            runs = complete_runs(
                connection,
                families=self.families,
                scales=self.scales,
                dataset_id=dataset_id,
                templates=templates,
            )
            swaps = set() if dataset_id is not None or exchanged else exchanged_datasets(connection)
            everything = [] if runs else list_runs(connection)
        if runs:
            return _originals(workspace, runs, swaps)
        if not everything:
            raise UsageError("the database has no runs yet; create one with 'vlmprobe extract'")
        there = sorted(
            {
                f"{run.family} @ {run.scale} on {run.dataset} ({run.template}, {run.status})"
                for run in everything
            }
        )
        raise UsageError(f"no complete run matches; existing runs: {', '.join(there)}")

    def newest(self, workspace: Workspace, template: str) -> Chosen:
        """Return the newest analyzed run of each scale under a template; report the other candidates.

        Raises:
            UsageError: no run matches, several datasets do, a scale has no metrics yet, or there is no such template.
            InputError: there is no such dataset.
        """
        everything = self.complete_runs(workspace)
        found, others = of_template(everything, template)
        for line in others:
            workspace.console.say(line)
        runs, notes = newest_of_each_scale(workspace.database, found)
        for line in notes:
            workspace.console.say(line)
        return Chosen(tuple(runs), tuple(notes), tuple(everything))

    def newest_run(self, workspace: Workspace, template: str) -> Run:
        """Return the newest complete run of the one scale that matches, with or without metrics.

        Raises:
            UsageError: no run matches, or several scales or datasets do; the message lists them. Or there is no such
                template.
            InputError: there is no such dataset.
        """
        found, _ = of_template(self.complete_runs(workspace), template)
        if len(names := list(dict.fromkeys(run.name for run in found))) > 1:
            raise UsageError(f"several scales match: {', '.join(names)}; choose one")
        _check(found)
        return found[-1]


def _originals(workspace: Workspace, runs: list[Run], swaps: Set[str]) -> list[Run]:
    """Leave out runs on image swaps, unless there are no others."""
    kept = [run for run in runs if run.dataset_id not in swaps]
    if not kept or len(kept) == len(runs):
        return runs
    names = ", ".join(sorted({run.dataset for run in runs if run.dataset_id in swaps}))
    workspace.console.say(
        f"{len(runs) - len(kept)} runs on {names} are left out, whose pictures are those of another dataset with two "
        "objects exchanged, or mirrored; name one with --data"
    )
    return kept


def dataset_of(
    database: Database,
    data: Path | None,
    max_per_category: int,
    *,
    allow_contradictions: bool = False,
    benchmarks: Benchmarks | None = None,
) -> str | None:
    """Return the id of the dataset in ``--data``: a file, or the name or id prefix of a stored dataset.

    Of a file whose rows contradict each other, it is the dataset with these rows where only that is stored.

    Raises:
        InputError: there is no such file and no such dataset.
        UsageError: several datasets have that name.
    """
    if data is None:
        return None
    if not data.exists():
        with database.transaction(write=False) as connection:
            found = find_datasets(connection, str(data))
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(dataset_id[:12] for dataset_id in found)
            raise UsageError(f"several datasets are called {data}: {ids}; use the beginning of an id")
    read = partial((benchmarks or Benchmarks()).dataset, data, max_per_category=max_per_category)
    dataset = read(allow_contradictions=allow_contradictions)
    if allow_contradictions or not dataset.contradictions:
        return dataset.dataset_id
    every_row = read(allow_contradictions=True).dataset_id
    with database.transaction(write=False) as connection:
        stored = [each for each in (dataset.dataset_id, every_row) if find_datasets(connection, each)]
    return stored[0] if stored else dataset.dataset_id


def newest_of_each_scale(database: Database, found: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Keep the newest analyzed run of each scale, all on one dataset; note where there are several.

    A run that another process has just completed but not analyzed yet does not replace one that is ready.

    Raises:
        UsageError: the runs are on several datasets; the message names them. Or no run of a scale has metrics
            yet. Or the name of a family or scale could lead a file out of its folder; another program must
            have edited the database.
    """
    _check(found)
    with database.transaction(write=False) as connection:
        analyzed = analyzed_runs(connection)
    groups = {name: list(group) for name, group in groupby(found, key=lambda run: run.name)}
    chosen = {name: run for name, group in groups.items() for run in group if run.run_id in analyzed}
    if missing := [group[-1] for name, group in groups.items() if name not in chosen]:
        raise no_metrics([run.name for run in missing], [run.family for run in missing])
    return list(chosen.values()), _notes(chosen, groups)


def no_metrics(names: Sequence[str], families: Sequence[str]) -> UsageError:
    """Build the error for runs that have not been analyzed."""
    command = f"vlmprobe analyze {' '.join(dict.fromkeys(families))}"
    return UsageError(f"{', '.join(names)}: no metrics yet; run '{command}' first")


def _notes(chosen: Mapping[str, Run], groups: Mapping[str, Sequence[Run]]) -> list[str]:
    notes = []
    for name, run in chosen.items():
        if run is not groups[name][-1]:
            notes.append(
                f"{name}: the newest run has no metrics yet, so the newest one with metrics is shown; "
                f"compute them with 'vlmprobe analyze {run.family}'"
            )
        elif len(marks := dict.fromkeys(str(each.fingerprint)[:12] for each in groups[name])) > 1:
            notes.append(
                f"{name}: {len(groups[name])} complete runs, of {len(marks)} checkpoints ({', '.join(marks)}); the "
                "newest is shown"
            )
        elif len(groups[name]) > 1:
            notes.append(f"{name}: {len(groups[name])} complete runs; the newest is shown")
    return notes


def _check(found: Sequence[Run]) -> None:
    for run in found:
        safe_name(run.family, "family")
        safe_name(run.scale, "scale")
    datasets = sorted({(run.dataset, run.dataset_id[:12], run.template) for run in found})
    if len(datasets) > 1:
        listed = ", ".join(f"{name} ({mark}, {template})" for name, mark, template in datasets)
        raise UsageError(f"runs on several datasets match: {listed}; choose one with --data FILE or NAME")


def of_template(found: Sequence[Run], template: str) -> tuple[list[Run], list[str]]:
    """Keep the runs under a template; note the others, so that they do not seem lost.

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
            f"no run with template {template} matches; available: {listed}; choose with --template NAME"
        )
    notes = [f"there are also runs with other templates: {listed}; show them with --template NAME"]
    return kept, notes if others else []


def choose_layers(run: Run, arrays: RunArrays, layers: LayerChoice) -> tuple[int, ...]:
    """Return the layers to show.

    Raises:
        UsageError: the run lacks a requested layer.
    """
    if layers == "all":
        return tuple(arrays.layers)
    if layers is None:
        return representative_layers(arrays.layers, _SPREAD)
    missing = sorted(set(layers) - set(arrays.layers))
    if missing:
        raise UsageError(f"{run.name} has no layer {', '.join(map(str, missing))}; it has {arrays.layers}")
    return tuple(sorted(set(layers)))
