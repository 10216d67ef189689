"""Scales: extracts and analyzes several scales, for ``run`` and ``demo``.

Three things go on at once: the model is asked, the scale before is analyzed in another process, since NumPy in a thread
would hold up the model's own Python code, and the weights of the next scale are read. Scales of small models go on side
by side instead, each in a process that does all of it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from vlmprobe.board import Bars
from vlmprobe.extraction.ahead import getting_ahead
from vlmprobe.families import load_catalog
from vlmprobe.lanes import Lanes, Task, n_lanes
from vlmprobe.pairs import PUBLISHED
from vlmprobe.processes import OtherProcess, processors
from vlmprobe.relayed import Relay
from vlmprobe.study.selection import Selection
from vlmprobe.timeline import Timeline
from vlmprobe.workflows.analyze import ToAnalyze, analyze_run, begin_analyzing, to_analyze
from vlmprobe.workflows.extract import ExtractOptions, ExtractRequest, extract

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from vlmprobe.timeline import Phase
    from vlmprobe.workspace import Board, Workspace

__all__ = ["lanes_of", "reported_template", "run_scales", "selection_of"]


def run_scales(
    workspace: Workspace,
    requests: Sequence[ExtractRequest],
    lanes: Lanes | None = None,
) -> None:
    """Extract scales one by one and analyze each while the next one is asked; small models side by side.

    The workspace's timeline gets what :func:`extract` adds, ``analyzed`` of each scale, and ``waited`` for the last
    analyses. The metrics are those of one after the other. With one scale, or on one processor, that is what is done.

    Args:
        workspace: the home.
        requests: what to extract, in this order.
        lanes: processes to use that are there already; None = as many as suit the models.

    Raises:
        UsageError: family, scale or template is unknown.
        VlmprobeError: a scale could not be extracted or analyzed; the scales before are done.
        KeyboardInterrupt: it was stopped; what is done is kept.
    """
    names = _names(requests)
    # Another program may have taken memory since the last study.
    workspace.batch_sizes.clear()
    if lanes is not None:
        _side_by_side(workspace, requests, names, lanes)
        return
    n = lanes_of(requests)
    if n > 1:
        with Lanes(workspace, n) as lanes:
            _side_by_side(workspace, requests, names, lanes)
        return
    several = len(requests) > 1
    beside = several and processors() > 1
    with (
        workspace.console.board(names) if several else nullcontext(Bars(workspace.console)) as rows,
        (_Beside if beside else _Here)(workspace, names, rows) as analysis,
        workspace.keeping_workers(),
    ):
        for row, request in enumerate(requests):
            analysis.check()
            following = requests[row + 1] if beside and row + 1 < len(requests) else None
            rows.show(row, "loading")
            options = request.options
            try:
                with getting_ahead(workspace, rows.console(row), request, following):
                    results = extract(workspace, request)
                if results[-1].interrupted:
                    raise KeyboardInterrupt  # noqa: TRY301 - extract() returns so that its results can be shown
                selection = selection_of(request.family, [request.scale], options)
                runs = to_analyze(workspace, selection, options.templates)
            except KeyboardInterrupt:
                rows.show(row, "stopped", last=True)
                raise
            except Exception:
                rows.show(row, "failed", last=True)
                analysis.finish()
                raise
            # The last runs' report follows at once, and computes what it shows of them itself.
            ahead = reported_template(options) if row + 1 < len(requests) else None
            analysis.submit(ToAnalyze(row, runs, ahead), is_new=any(result.n_inferred for result in results))
        analysis.finish()


def lanes_of(requests: Sequence[ExtractRequest]) -> int:
    """Return how many of the scales to work on side by side; 1 = one after the other, in this process."""
    if processors() < 2 or len(requests) < 2:
        return 1
    scale = load_catalog().scale
    specs = [scale(each.family, each.scale, each.checkpoint, each.processor) for each in requests]
    return n_lanes(
        requests[0].options.model,
        [spec.checkpoint for spec in specs],
        [spec.environment for spec in specs],
    )


def _side_by_side(
    workspace: Workspace,
    requests: Sequence[ExtractRequest],
    names: Sequence[str],
    lanes: Lanes,
) -> None:
    tasks = [
        Task(_extract_and_analyze, (request, name, len(requests)))
        for request, name in zip(requests, names, strict=True)
    ]
    with workspace.console.board(names) as rows:
        done = lanes.run(tasks, rows)
    for began, phases in done:
        workspace.timeline.take(began, phases)


def _extract_and_analyze(
    workspace: Workspace, show: Callable[[str], None], request: ExtractRequest, name: str, n_scales: int
) -> tuple[float, list[Phase]]:
    """Do one scale in the process of a lane; return when its timeline began, and the phases."""
    timeline = workspace.timeline = Timeline()
    show("loading")
    if extract(workspace, request)[-1].interrupted:
        raise KeyboardInterrupt
    show("analyzing")
    selection = selection_of(request.family, [request.scale], request.options)
    with timeline.during("analyzed", name):
        for run_id, n_tests in to_analyze(workspace, selection, request.options.templates, at_least=n_scales):
            analyze_run(workspace, run_id, n_tests)
    return timeline.began, timeline.phases


def _names(requests: Sequence[ExtractRequest]) -> list[str]:
    """Name what is asked by family and scale, and by its templates where that is not enough."""
    names = [f"{request.family} @ {request.scale}" for request in requests]
    return [
        name if name not in names[:row] else f"{name}, {', '.join(request.options.templates)}"
        for row, (name, request) in enumerate(zip(names, requests, strict=True))
    ]


class _Here:
    """Analyzes each scale at once, in this process."""

    def __init__(self, workspace: Workspace, names: Sequence[str], rows: Board) -> None:
        self._workspace, self._names, self._rows = workspace, names, rows
        self._timeline = workspace.timeline

    def check(self) -> None:
        pass

    def submit(self, item: ToAnalyze, *, is_new: bool) -> None:  # noqa: ARG002
        """Analyze the runs of a row; ``is_new``: whether any of their pairs was asked just now."""
        row = item.row
        name = self._names[row]
        self._rows.show(row, "analyzing")
        try:
            with (
                self._workspace.printing_to(self._rows.console(row)),
                self._timeline.during("analyzed", name),
            ):
                for run_id, n_tests in item.runs:
                    analyze_run(self._workspace, run_id, n_tests)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            self._rows.show(row, "stopped" if stopped else "failed", last=True)
            raise
        self._rows.show(row, "done", last=True)

    def finish(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Beside(_Here):
    """Analyzes each scale in another process, which loads what it needs while the first scale is asked."""

    def __enter__(self) -> Self:
        self._row, self._began = 0, 0.0
        self._open: set[int] = set()
        self._relay = Relay(self._workspace.console)
        self._process = OtherProcess(
            begin_analyzing, self._workspace.settings, name="analyzes", heard=self._hear
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()
        self._relay.close()
        for row in sorted(self._open):
            self._rows.show(row, "not analyzed", last=True)

    def check(self) -> None:
        try:
            self._process.check()
        except Exception:
            self._open.discard(self._row)
            self._rows.show(self._row, "failed", last=True)
            raise

    def submit(self, item: ToAnalyze, *, is_new: bool) -> None:
        if not is_new:
            # Most likely they are analyzed, too, which is seen here before the other process is ready.
            super().submit(item, is_new=is_new)
            return
        self._open.add(item.row)
        self.check()
        self._rows.show(item.row, "waiting for its analysis")
        self._process.submit(item)

    def finish(self) -> None:
        with self._timeline.during("waited"):
            self._process.finish()
        self.check()

    def _hear(self, told: tuple[str, Any]) -> None:
        """Show what the other process tells, in another thread."""
        if self._relay.hear(told):
            return
        kind, value = told
        if kind == "begin":
            self._row, self._began = value, self._timeline.now
            self._relay = Relay(self._rows.console(value))
            self._rows.show(value, "analyzing")
        elif kind == "analyzed":
            self._open.discard(value)
            self._timeline.add("analyzed", self._began, self._names[value])
            self._rows.show(value, "done", last=True)


def reported_template(options: ExtractOptions) -> str:
    """Return the template whose runs the report compares: the published one, or the first if that is not asked."""
    published = PUBLISHED.name
    return published if published in options.templates else options.templates[0]


def selection_of(family: str, scales: Sequence[str], options: ExtractOptions) -> Selection:
    """Return the runs of these scales on the benchmark that the options say."""
    return Selection(
        (family,), tuple(scales), options.data, options.max_per_category, options.allow_contradictions
    )
