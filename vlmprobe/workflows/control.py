"""Control: extracts what a run is held against and what its verdicts need, and prints the first of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vlmprobe.errors import NoRandomWeightsError, UsageError
from vlmprobe.extraction.asked_of_run import asked_of_run
from vlmprobe.extraction.like_run import request_like
from vlmprobe.families import load_catalog
from vlmprobe.lanes import Lanes, Task, n_lanes
from vlmprobe.pairs import PUBLISHED, YES_NO, is_under, link_image_swaps, other_axes
from vlmprobe.store.controls import GREY, OTHER_IMAGE, RANDOM_WEIGHTS, SHUFFLED_LABELS
from vlmprobe.study.control_curves import keep_control_curves
from vlmprobe.study.controls import beside_controls
from vlmprobe.study.findings import runs_without_axis
from vlmprobe.workflows.extract import ExtractOptions, extract_asked
from vlmprobe.workflows.scales import selection_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from vlmprobe.extraction.control import Asked
    from vlmprobe.pairs import Dataset
    from vlmprobe.reports.controls import ControlRow
    from vlmprobe.store.runs import Run
    from vlmprobe.workflows.extract import ExtractResult
    from vlmprobe.workspace import Workspace

__all__ = ["BLIND", "USUAL", "Controlled", "Made", "control", "served_runs"]

#: What rule 2 of a verdict needs; the rules after it need what ``control`` extracts without ``kinds``.
BLIND = (GREY, f"{OTHER_IMAGE}:0")
#: What there is to say of a run before its axis is called one of the picture.
USUAL = (GREY, f"{OTHER_IMAGE}:0", f"{RANDOM_WEIGHTS}:0", f"{SHUFFLED_LABELS}:0")


@dataclass(slots=True)
class Made:
    """The names of runs of one kind that the command came to."""

    extracted: list[str] = field(default_factory=list)
    """Those that had pairs to extract."""
    already: list[str] = field(default_factory=list)
    """Those that were complete."""

    @classmethod
    def joined(cls, several: Iterable[Made]) -> Made:
        """Return those of several runs as one."""
        found = cls()
        for each in several:
            found.extracted += each.extracted
            found.already += each.already
        return found


@dataclass(frozen=True, slots=True)
class Controlled:
    """The controls of a family's runs, and what they say."""

    rows: tuple[ControlRow, ...]
    controls: Made
    real: Made
    """Real runs that verdicts need: yes/no questions, about the benchmark and its exchanged pictures."""
    failed: tuple[str, ...]
    """Those that have pairs which failed: they are held against the run on the others."""
    without_axis: tuple[str, ...]
    """Names of runs that were not asked what verdicts need, since they have no axis."""


def control(
    workspace: Workspace,
    family: str,
    options: ExtractOptions,
    *,
    scales: Sequence[str] = (),
    kinds: Sequence[str] | None = None,
    image_swaps: Path | None = None,
    without_axis: bool = False,
    verdicts_only: bool = False,
    lanes: Lanes | None = None,
) -> Controlled:
    """Extract controls of each scale's newest complete run and hold the run against them; what is complete is reused.

    Without ``kinds``, also what a verdict on a run under the published template needs: the yes/no templates on the
    benchmark; with ``image_swaps`` the same on the exchanged pictures, and on both questions about another axis, and
    random weights for what stands beside a verdict. These runs are extracted and not analyzed.

    All have the number format, the layers and, unless ``options`` says otherwise, the batch size of the run that they
    are for.

    Args:
        workspace: the home.
        family: whose runs.
        options: the benchmark and how to run the model, as the runs were extracted.
        scales: only these; empty = all that have a complete run.
        kinds: only these, as :func:`kind_list` returns them; None = ``USUAL``, and what verdicts need.
        image_swaps: a file of the benchmark's questions about pictures with the two objects exchanged.
        without_axis: also extract what verdicts need for runs whose verdict is *no axis* without it.
        verdicts_only: extract nothing that no verdict needs: no random weights, and nothing of a run without an axis.
        lanes: processes to use that are there already; None = as many as suit the models.

    Raises:
        UsageError: there is no complete run to serve, or a scale has none; or ``image_swaps`` are none; or they, or
            ``verdicts_only``, go with ``kinds``.
        InputError: a dataset or a checkpoint is wrong.
        KeyboardInterrupt: it was stopped; what is done is kept.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    if kinds is not None and image_swaps is not None:
        raise UsageError("--image-swaps is for verdicts, which need every kind; leave out --kinds")
    if kinds is not None and verdicts_only:
        raise UsageError("--verdicts-only chooses the kinds itself; leave out --kinds")
    runs = served_runs(workspace, family, options, scales)
    swaps = None if image_swaps is None else _on_swaps(workspace, options, image_swaps)
    judged = [] if kinds is not None else _judged(workspace, runs, options, is_required=swaps is not None)
    left_out = [] if without_axis else _without_axis(workspace, judged, family, options)
    wanted = BLIND if verdicts_only else USUAL if kinds is None else kinds
    if verdicts_only:
        runs = [run for run in judged if run not in left_out]
    tasks = [
        Task(_control_one, (run, options, wanted, swaps, run in judged and run not in left_out))
        for run in runs
    ]
    done = _do_all(workspace, tasks, runs, options, lanes)
    return Controlled(
        tuple(row for each in done for row in each.rows),
        Made.joined(each.controls for each in done),
        Made.joined(each.real for each in done),
        tuple(name for each in done for name in each.failed),
        tuple(run.name for run in left_out),
    )


@dataclass(slots=True)
class _Done:
    """What was made for one run."""

    controls: Made = field(default_factory=Made)
    real: Made = field(default_factory=Made)
    failed: list[str] = field(default_factory=list)
    rows: list[ControlRow] = field(default_factory=list)


def _do_all(
    workspace: Workspace,
    tasks: Sequence[Task],
    runs: Sequence[Run],
    options: ExtractOptions,
    lanes: Lanes | None,
) -> list[_Done]:
    """Do what each run needs, one after the other or side by side."""
    n = 0 if lanes is not None else _n_lanes(runs, options)
    if n == 1 or len(runs) < 2:
        with workspace.keeping_workers():
            return [task.work(workspace, lambda _: None, *task.arguments) for task in tasks]
    with (
        nullcontext(lanes) if lanes is not None else Lanes(workspace, n) as open_lanes,
        workspace.console.board([f"{run.name}: controls" for run in runs]) as rows,
    ):
        return open_lanes.run(tasks, rows)


def _n_lanes(runs: Sequence[Run], options: ExtractOptions) -> int:
    catalog = load_catalog()
    environments = [catalog.environment(family) for family in {run.family for run in runs}]
    return n_lanes(options.model, [run.checkpoint for run in runs], environments)


def _control_one(
    workspace: Workspace,
    show: Callable[[str], None],
    run: Run,
    options: ExtractOptions,
    wanted: Sequence[str],
    swaps: ExtractOptions | None,
    is_judged: bool,
) -> _Done:
    """Extract what one run is held against and what its verdict needs, and hold it against that."""
    show("loading")
    done = _Done()
    asked = asked_of_run(run, wanted, options, swaps, is_judged=is_judged)
    for result in _extract_all(workspace, run, asked, usual=tuple(wanted) == USUAL):
        made = done.real if result.run.control is None else done.controls
        (made.extracted if result.n_inferred else made.already).append(result.run.name)
        if result.failed:
            done.failed.append(result.run.name)
        if result.run.control is not None:
            keep_control_curves(workspace, result.run)
    show("held against its controls")
    done.rows = beside_controls(workspace, run, wanted)
    return done


def _extract_all(
    workspace: Workspace,
    run: Run,
    asked_of_files: Iterable[tuple[ExtractOptions, list[Asked]]],
    *,
    usual: bool,
) -> Iterator[ExtractResult]:
    """Extract all that one scale is asked, file by file.

    Args:
        workspace: the home.
        run: the real run.
        asked_of_files: as ``asked_of_run`` yields them.
        usual: whether nobody asked for these kinds by name. Then a family without random weights goes without them.

    Raises:
        KeyboardInterrupt: it was stopped; what is done is kept.
        NoRandomWeightsError: the family has none, and they were asked for by name.
    """
    catalog = load_catalog()
    for of_file, asked in asked_of_files:
        try:
            for result in extract_asked(workspace, request_like(run, of_file, catalog), asked):
                if result.interrupted:
                    raise KeyboardInterrupt
                yield result
        except NoRandomWeightsError as error:
            if not usual:
                raise
            workspace.console.warn(f"{run.name}: {error}; it goes without")
            return  # random weights are asked last


def _on_swaps(workspace: Workspace, options: ExtractOptions, image_swaps: Path) -> ExtractOptions:
    """Return how the exchanged pictures are asked about: all of them where the sample would lose partners.

    Raises:
        UsageError: no pair of the file is an image swap of one of the benchmark, or there is one axis alone.
        InputError: a file is wrong.
    """
    found = replace(options, data=image_swaps)
    own, exchanged = (_read(workspace, each).under(YES_NO[0]) for each in (options, found))
    other_axes(own.axes)
    swaps = link_image_swaps(own, exchanged)
    without = {pair.axis for pair in own.pairs} - {link.pair.axis for link in swaps.links}
    none_of = ", ".join(axis for axis in own.axes if axis in without)
    workspace.console.say(
        f"image swaps: {len(swaps.links)} of {len(own.pairs)} pairs of {own.name} have one in {exchanged.name}"
        f"{f', none of {none_of}' if none_of else ''}"
    )
    sampled = {pair.pair_id for pair in exchanged.pairs}
    is_cut = any(link.partner.pair_id not in sampled for link in swaps.links)
    return replace(found, max_per_category=0) if is_cut else found


def _judged(
    workspace: Workspace, runs: Sequence[Run], options: ExtractOptions, *, is_required: bool
) -> list[Run]:
    """Return the runs that verdicts are about: none of a benchmark that can have no yes/no questions.

    Raises:
        UsageError: it cannot, and they are required.
        InputError: the benchmark is wrong.
    """
    published = [run for run in runs if is_under(run.template, PUBLISHED.name)]
    dataset = _read(workspace, options)
    try:
        for template in YES_NO:
            dataset.wording(template)
    except UsageError as error:
        if is_required:
            raise
        workspace.console.say(f"nothing is extracted for verdicts, which need yes/no questions: {error}")
        return []
    return published


def _read(workspace: Workspace, options: ExtractOptions) -> Dataset:
    return workspace.benchmarks.dataset(
        options.data,
        max_per_category=options.max_per_category,
        axes=options.axes,
        allow_contradictions=options.allow_contradictions,
    )


def _without_axis(
    workspace: Workspace, judged: Sequence[Run], family: str, options: ExtractOptions
) -> list[Run]:
    """Return the runs that have no axis, as a report of all scales of the family finds."""
    if not judged:
        return []
    selection = selection_of(family, (), options)
    found = {run.name: run for run in selection.complete_runs(workspace, (PUBLISHED.name,))}
    without = {run.run_id for run in runs_without_axis(workspace.database, list(found.values()))}
    return [run for run in judged if run.run_id in without]


def served_runs(
    workspace: Workspace, family: str, options: ExtractOptions, scales: Sequence[str]
) -> list[Run]:
    """Return the newest complete run of each scale under each template, in order of training.

    Raises:
        UsageError: there is none, or a scale has none.
        InputError: the benchmark is wrong.
    """
    complete = selection_of(family, scales, options).complete_runs(workspace, options.templates)
    found: dict[str, Run] = {}
    for run in complete:
        if run.config.get("identity"):
            found[run.name] = run
        else:
            workspace.console.warn(
                f"{run.name}: run {run.run_id} was imported, so no control can be extracted for it"
            )
    missing = [scale for scale in scales if all(run.scale != scale for run in found.values())]
    if missing or not found:
        named = ", ".join(missing) or "any scale"
        raise UsageError(
            f"no complete run of {family} @ {named} on {options.data} for a control to serve; run 'vlmprobe extract "
            f"{family} --scale SCALE --data {options.data}' first"
        )
    return list(found.values())
