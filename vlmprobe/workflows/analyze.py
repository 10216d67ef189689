"""Analyze: computes every metric of the matching complete runs from stored data, without a model.

A run whose metrics were computed by this version from the same rows and arrays is left alone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis import AccuracyPoint, Metric
from vlmprobe.analysis.accuracy import perspective_accuracy
from vlmprobe.analysis.axis_significance import family_size
from vlmprobe.analysis.catalog import ACCURACIES
from vlmprobe.analysis.layer_choice import candidates_of, peaks
from vlmprobe.analysis.recommendation import range_of_angles, recommend
from vlmprobe.analysis.side_by_side import MEMORY, few_threads
from vlmprobe.errors import ElsewhereError, VlmprobeError
from vlmprobe.pairs import Subset, is_under
from vlmprobe.relayed import RelayedConsole
from vlmprobe.store.arrays import Inputs, read_inputs
from vlmprobe.store.delivery import flag_outdated, is_delivered
from vlmprobe.store.metrics import (
    MetricsUpdate,
    count_metrics,
    digest_matches,
    read_results_json,
    store_digest,
    store_metrics,
    store_results,
)
from vlmprobe.store.perspective import perspective_answers
from vlmprobe.store.queries import load_query
from vlmprobe.store.runs import Run, complete_runs, get_run
from vlmprobe.study.kept_robustness import keep_robustness
from vlmprobe.study.layer_rows import candidates_result, recommendation_result
from vlmprobe.study.run_metrics import inputs_result, run_metrics
from vlmprobe.study.selection import Selection
from vlmprobe.study.strata import read_strata_of
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from vlmprobe.pairs.strata import Strata
    from vlmprobe.settings import Settings

__all__ = ["AnalyzeResult", "ToAnalyze", "analyze", "analyze_run", "begin_analyzing", "to_analyze"]


@dataclass(frozen=True, slots=True)
class AnalyzeResult:
    """The outcome of analyzing one run."""

    run: Run
    n_pairs: int
    update: MetricsUpdate
    seconds: float
    is_computed: bool = True
    """False if the stored metrics were up to date and left alone."""


def analyze(
    workspace: Workspace,
    selection: Selection | None = None,
    *,
    templates: Sequence[str] = (),
    strata: str | None = None,
    memory: int = MEMORY,
    force: bool = False,
) -> list[AnalyzeResult]:
    """Compute, store and log the metrics of the selected complete runs; of all without a selection.

    A run whose hidden states only another host can read is named in a warning and left out.

    Args:
        workspace: the home.
        selection: which runs.
        templates: only runs under these question templates; empty = all.
        strata: a column of the benchmark's file; the axis tests exchange labels among images that agree in it.
        memory: bytes that the layers in work may use together; a layer that needs more is read in blocks of pairs.
        force: also compute what is up to date.

    Raises:
        UsageError: no complete run matches; the message lists what there is.
        VlmprobeError: this host can read the hidden states of none of them.
        InputError: the benchmark's file has moved or changed, or no such column sorts its images.
        ReadOnlyError: the home cannot be written.
    """
    workspace.require_writable()
    selection = selection or Selection()
    runs = selection.complete_runs(workspace, templates)
    # All files before the first run, which may take long.
    strata_of = {} if strata is None else read_strata_of(workspace, runs, strata, selection.data)
    results, problems = [], []
    for run in runs:
        try:
            results.append(_of_run(workspace, run, strata_of.get(run.dataset_id), memory=memory, force=force))
        except ElsewhereError as error:
            # One run of another host does not stop those of this one.
            workspace.console.warn(f"{run.name}: not analyzed: {error}")
            problems.append(error)
    if problems and not results:
        raise VlmprobeError(
            f"no run was analyzed: the hidden states of {len(problems)} are {problems[0].where}"
        )
    return results


def to_analyze(
    workspace: Workspace, selection: Selection, templates: Sequence[str] = (), *, at_least: int = 0
) -> list[tuple[str, int]]:
    """Return the ids of the selected complete runs, each with how many tests are to be corrected together.

    That depends on which runs are complete now. Whoever analyzes later, beside more of them, gets the numbers of now.

    Args:
        workspace: the home.
        selection: which runs.
        templates: only runs under these question templates; empty = all.
        at_least: how many runs of the benchmark and template there will be, where they become complete in any order.

    Raises:
        UsageError: no complete run matches; the message lists what there is.
    """
    runs = selection.complete_runs(workspace, templates)
    with workspace.database.transaction(write=False) as connection:
        return [(run.run_id, _tests_beside(connection, run, at_least)) for run in runs]


def analyze_run(workspace: Workspace, run_id: str, n_tests: int) -> AnalyzeResult:
    """Compute, store and log the metrics of one run that :func:`to_analyze` found.

    Raises:
        VlmprobeError: it has no hidden states, or some that are no numbers.
    """
    with workspace.database.transaction(write=False) as connection:
        run = get_run(connection, run_id)
    return _of_run(workspace, run, None, n_tests=n_tests)


@dataclass(frozen=True, slots=True)
class ToAnalyze:
    """The runs of a row, for the process that analyzes."""

    row: int
    runs: Sequence[tuple[str, int]]
    """As :func:`to_analyze` returns them."""
    ahead: str | None = None
    """The template whose runs a report will show, if there is time to compute what it shows of each; else None."""


def begin_analyzing(
    tell: Callable[[tuple[str, Any]], None], settings: Settings
) -> Callable[[ToAnalyze], tuple[str, int]]:
    """Load what analyses need, in the process that does them; return what analyzes the runs of a row."""
    workspace = Workspace(settings, RelayedConsole(tell))
    workspace.tracker.preload()

    def work(item: ToAnalyze) -> tuple[str, int]:
        tell(("begin", item.row))
        with few_threads():  # the model that is asked meanwhile needs the processors, too
            found = [analyze_run(workspace, run_id, n_tests).run for run_id, n_tests in item.runs]
        tell(("analyzed", item.row))
        for run in found:
            if item.ahead is not None and is_under(run.template, item.ahead):
                keep_robustness(workspace, run)
        return "done", item.row

    return work


def _tests_beside(connection: Connection, run: Run, at_least: int = 0) -> int:
    beside = complete_runs(connection, dataset_id=run.dataset_id, templates=(run.template,))
    return family_size(max(len(beside), at_least))


def _of_run(
    workspace: Workspace,
    run: Run,
    strata: Strata | None,
    *,
    n_tests: int | None = None,
    memory: int = MEMORY,
    force: bool = False,
) -> AnalyzeResult:
    started = time.monotonic()
    with workspace.database.transaction(write=False) as connection:
        inputs = read_inputs(connection, run.run_id)
        n_tests = n_tests or _tests_beside(connection, run)
        current = not force and _is_current(connection, run, inputs_result(inputs.sha256, strata, n_tests))
        n_stored = count_metrics(connection, run.run_id)
        delivered = is_delivered(connection, run)
    if not current:
        return _analyze_run(workspace, run, inputs, strata, n_tests, memory, started)
    if not delivered:
        workspace.deliver(run)
    update = MetricsUpdate(added=0, changed=0, unchanged=n_stored, outdated=False)
    return AnalyzeResult(run, inputs.n_pairs, update, time.monotonic() - started, is_computed=False)


def _is_current(connection: Connection, run: Run, basis: dict[str, Any]) -> bool:
    """Return whether a run's metrics were computed as now from what is there now, and nobody changed them."""
    stored = read_results_json(connection, run.run_id, basis["name"], basis["subset"])
    return stored == basis["value"] and digest_matches(connection, run.run_id)


def _analyze_run(
    workspace: Workspace,
    run: Run,
    inputs: Inputs,
    strata: Strata | None,
    n_tests: int,
    memory: int,
    started: float,
) -> AnalyzeResult:
    arrays = workspace.arrays(run, every_layer=True)
    if not arrays.layers:
        raise VlmprobeError(f"{run.name} has no hidden states; extract it again with --new")
    with (
        workspace.tracker.connecting(),
        workspace.console.track(f"{run.name}: metrics", len(arrays.layers)) as advance,
    ):
        try:
            metrics, results = run_metrics(arrays, advance, strata, n_tests, memory)
        except ValueError as error:
            raise VlmprobeError(f"{run.name}: {error}") from error
    axes, of_run = arrays.axis_set, peaks(metrics)
    for subset in Subset:
        found = recommend(metrics, run.n_layers, subset, axes)
        results.append(candidates_result(candidates_of(metrics, run.n_layers, subset, axes), subset))
        results.append(recommendation_result(found, subset))
        of_run += range_of_angles(metrics, found, subset, axes)
    results.append(inputs_result(inputs.sha256, strata, n_tests))
    metrics += of_run
    with workspace.database.transaction() as connection:
        metrics += _accuracy(connection, run)
        update = store_metrics(connection, run.run_id, metrics)
        store_results(connection, run.run_id, results)
        store_digest(connection, run.run_id)
        flag_outdated(connection, run.run_id, update)
        run = get_run(connection, run.run_id)
    workspace.deliver(run)
    return AnalyzeResult(run, inputs.n_pairs, update, time.monotonic() - started)


def _accuracy(connection: Connection, run: Run) -> list[Metric]:
    """Read accuracy, with its Wilson bounds, through the same SQL that users can run; compare the perspectives."""
    answers = perspective_answers(connection, run.run_id)
    points = load_query("accuracy/by_axis").rows(
        AccuracyPoint, connection, {"run_id": run.run_id}, renamed={"axis": "target"}
    )
    by_axis = [
        Metric(
            name=entry.name,
            version=entry.version,
            subset=str(Subset.ALL),
            target=point.target,
            layer=-1,
            value=getattr(point, f"acc_{side}"),
            std=None,
            n=point.n,
            n_images=point.n_images,
            ci_low=getattr(point, f"acc_{side}_low"),
            ci_high=getattr(point, f"acc_{side}_high"),
        )
        for point in points
        for side, entry in ACCURACIES.items()
    ]
    return by_axis + perspective_accuracy(
        [answer.both_correct for answer in answers],
        [answer.perspective for answer in answers],
        [answer.image for answer in answers],
    )
