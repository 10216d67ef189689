"""What is compared: runs, scales and families by name, and the trainings that a scale has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.pairs import PUBLISHED
from vlmprobe.store.image_swaps import exchanged_datasets
from vlmprobe.store.listed_runs import list_runs
from vlmprobe.study.selection import Selection, of_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["Subject", "common_trainings", "scales_of", "subjects_of", "two_subjects"]

#: Characters of an id from which on its beginning or end names a run.
_LEAST = 8
_Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """One scale with its trainings, or a single run."""

    name: str
    """In tables: ``2m``, or ``tiny @ 2m`` where families are compared."""
    samples_seen: int | None
    trainings: Mapping[str, Run]
    """Label -> the newest run of that training, all on one dataset; the label of a run without one is empty."""


def two_subjects(
    workspace: Workspace,
    first: str,
    second: str,
    *,
    template: str = PUBLISHED.name,
    data: Path | None = None,
    max_per_category: int = 200,
) -> tuple[Subject, Subject]:
    """Find what two names stand for, on one dataset under one template.

    A name is ``family@scale``, a scale, a run id, or the beginning or end of one.

    Raises:
        UsageError: a name is none or ambiguous, or the two have no dataset and template in common, or several.
        InputError: there is no such dataset.
    """
    # An id may be that of a run on image swaps; names are not.
    runs = Selection(data=data, max_per_category=max_per_category).complete_runs(workspace, exchanged=True)
    found = [_named(workspace, text, runs, template) for text in (first, second)]
    places = [list(dict.fromkeys(map(_place, matches))) for matches in found]
    common = [place for place in places[0] if place in places[1]]
    if len(common) > 1 and data is None:
        with workspace.database.transaction(write=False) as connection:
            swaps = exchanged_datasets(connection)
        common = [place for place in common if place[0] not in swaps] or common
    names = [matches[-1].name for matches in found]
    if not common:
        described = [", ".join(_described(matches)) for matches in found]
        raise UsageError(
            f"{names[0]} is on {described[0]} and {names[1]} on {described[1]}, so their pairs cannot be compared; "
            "choose two runs on one dataset under one template"
        )
    if len(common) > 1:
        on = ", ".join(_described([run for run in found[0] if _place(run) in common]))
        raise UsageError(f"{first} and {second} are both on {on}; choose one with --data FILE or NAME")
    one_family = len({run.family for matches in found for run in matches}) == 1
    pair = [
        _subject([run for run in matches if _place(run) == common[0]], runs, text, one_family=one_family)
        for text, matches in zip((first, second), found, strict=True)
    ]
    if pair[0].name == pair[1].name:
        ids = [next(iter(each.trainings.values())).run_id for each in pair]
        if ids[0] == ids[1]:
            raise UsageError(f"{first} and {second} are the same run, {ids[0]}; choose two")
        pair = [
            Subject(f"{each.name} ({mark[-_LEAST:]})", each.samples_seen, each.trainings)
            for each, mark in zip(pair, ids, strict=True)
        ]
    return pair[0], pair[1]


def scales_of(
    workspace: Workspace,
    family: str,
    *,
    template: str = PUBLISHED.name,
    data: Path | None = None,
    max_per_category: int = 200,
) -> list[Subject]:
    """Return the scales of a family in the order of their training, on one dataset under one template.

    Scales of unknown training are left out; a line says so.

    Raises:
        UsageError: no run matches, several datasets do, or fewer than two scales are left.
        InputError: there is no such dataset.
    """
    selection = Selection((family,), data=data, max_per_category=max_per_category)
    runs, _ = of_template(selection.complete_runs(workspace), template)
    if len(on := _described(runs)) > 1:
        raise UsageError(
            f"runs on several datasets match: {', '.join(on)}; choose one with --data FILE or NAME"
        )
    unknown = list(dict.fromkeys(run.scale for run in runs if run.samples_seen is None))
    if unknown:
        workspace.console.say(
            f"left out: {', '.join(unknown)}, whose amount of training is unknown; set samples_seen in vlmprobe.toml"
        )
    found = subjects_of([run for run in runs if run.samples_seen is not None])
    if len(found) < 2:
        there = ", ".join(each.name for each in found) or "none"
        raise UsageError(
            f"--over-scales needs two scales of {family} with known training; there are: {there}"
        )
    return found


def subjects_of(runs: Sequence[Run], *, with_family: bool = False) -> list[Subject]:
    """Group runs on one dataset into scales with their trainings, in the runs' order.

    Runs of one family that have seen equally many samples are trainings of one scale where a label tells them apart.
    The scale has the name of the run without a label, or else of the first.

    Args:
        runs: by family and amount of training; of several of one scale the newest last.
        with_family: whether names include the family.
    """
    found: list[Subject] = []
    done: set[tuple[str, str]] = set()
    for run in runs:
        if (run.family, run.scale) in done or (run.training and _heads(run, runs)):
            continue
        members = [each for each in runs if _belongs(each, run)]
        done |= {(each.family, each.scale) for each in members}
        name = f"{run.family} @ {run.scale}" if with_family else run.scale
        found.append(Subject(name, run.samples_seen, _by_training(members)))
    return found


def common_trainings(subjects: Sequence[Subject]) -> tuple[str, ...]:
    """Return the labels of the trainings that all subjects have; an empty one stands for the only run of each.

    Raises:
        UsageError: they have several trainings, and none in common.
    """
    if all(len(each.trainings) == 1 for each in subjects):
        return ("",)
    common = [label for label in subjects[0].trainings if all(label in each.trainings for each in subjects)]
    if common:
        return tuple(common)
    listed = "; ".join(
        f"{each.name}: {', '.join(label or 'no label' for label in each.trainings)}" for each in subjects
    )
    raise UsageError(
        f"no training is common to all scales ({listed}); give their run ids, or equal labels with the key training in "
        "vlmprobe.toml"
    )


def _named(workspace: Workspace, text: str, runs: Sequence[Run], template: str) -> list[Run]:
    """Return the runs that a name may stand for, of one scale or of one id."""
    family, at, scale = (part.strip() for part in text.rpartition("@"))
    of_scale = [run for run in runs if run.scale == scale and (not at or run.family == family)]
    if of_scale:
        if len(families := sorted({run.family for run in of_scale})) > 1:
            choices = ", ".join(f"{name}@{scale}" for name in families)
            raise UsageError(f"scale {scale} is in several families; use one of {choices}")
        return of_template(of_scale, template)[0]
    of_id = [run for run in runs if _is_id(text, run.run_id)]
    if len(of_id) == 1:
        return of_id
    if of_id:
        raise UsageError(f"{text!r} is the beginning or the end of {len(of_id)} run ids; give more of it")
    with workspace.database.transaction(write=False) as connection:
        every = list_runs(connection, controls=True)
    named = [run for run in every if _is_id(text, run.run_id)]
    unfinished = [run for run in named if run.control is None]
    controls = [run for run in named if run.control is not None]
    if unfinished:
        run = unfinished[0]
        raise UsageError(f"run {run.run_id} is {run.status}; compare complete runs that are on --data")
    if controls:
        control = controls[0]
        raise UsageError(
            f"run {control.run_id} is a control ({control.control}) of {control.family} @ {control.scale}, and compare "
            f"holds real runs against each other; name {control.family}@{control.scale} instead: the rows beside are "
            "about the controls that both have, and 'vlmprobe control' prints one run beside its own"
        )
    known = ", ".join(dict.fromkeys(f"{run.family}@{run.scale}" for run in runs))
    raise UsageError(f"no complete run, scale or family@scale is called {text[:60]!r}; there are: {known}")


def _is_id(text: str, run_id: str) -> bool:
    return run_id == text or (len(text) >= _LEAST and (run_id.startswith(text) or run_id.endswith(text)))


def _subject(matches: Sequence[Run], runs: Sequence[Run], text: str, *, one_family: bool) -> Subject:
    newest = matches[-1]
    name = newest.scale if one_family else f"{newest.family} @ {newest.scale}"
    if _is_id(text, newest.run_id):
        return Subject(name, newest.samples_seen, {"": newest})
    here = [run for run in runs if _place(run) == _place(newest)]
    return Subject(name, newest.samples_seen, _by_training([run for run in here if _belongs(run, newest)]))


def _belongs(run: Run, scale: Run) -> bool:
    """Whether a run is of that scale: by its name, or as another training of as many samples."""
    if run.family != scale.family:
        return False
    is_replicate = run.training is not None and run.training != scale.training
    return run.scale == scale.scale or (
        is_replicate and scale.samples_seen is not None and run.samples_seen == scale.samples_seen
    )


def _heads(run: Run, runs: Sequence[Run]) -> bool:
    """Whether another run, without a label, gives this training's scale its name."""
    return any(
        not other.training
        and other.family == run.family
        and other.samples_seen is not None
        and other.samples_seen == run.samples_seen
        for other in runs
    )


def _by_training(runs: Sequence[Run]) -> dict[str, Run]:
    # Of several runs of one training the newest, which is the last.
    newest = {run.training or "": run for run in sorted(runs, key=lambda run: run.run_id)}
    return dict(sorted(newest.items()))


def _place(run: Run) -> _Place:
    return run.dataset_id, run.template


def _described(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(f"{run.dataset} ({run.dataset_id[:12]}, {run.template})" for run in runs))
