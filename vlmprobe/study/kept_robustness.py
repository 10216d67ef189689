"""The tables of a report about the robustness of its runs: kept in the home's cache, computed where none holds.

What is kept of a run stands beside all that its rows rest on: the code and the libraries under it, the analysis that
chose its layer, the pairs, answers and shards of each run that is read, and the file of the output layer. While all of
that is equal, so is every bit of the rows.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import INPUTS, RECOMMENDED_LAYER
from vlmprobe.analysis.inference import Estimate
from vlmprobe.analysis.side_by_side import few_threads
from vlmprobe.computed_by import computed_by
from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs import Subset
from vlmprobe.processes import processors
from vlmprobe.reports.robustness import RobustnessRow
from vlmprobe.safe_names import safe_name
from vlmprobe.store.contents import Contents
from vlmprobe.store.kept import keep, read_kept
from vlmprobe.store.metrics import read_results_json
from vlmprobe.study.at_layer import output_layer_of
from vlmprobe.study.robust_runs import open_runs, others_of, tables_of
from vlmprobe.study.selection import Selection
from vlmprobe.workspace import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from vlmprobe.store.runs import Run
    from vlmprobe.study.robust_runs import RobustRuns
    from vlmprobe.workspace import Workspace

    _Begun = Future[list[RobustnessRow]]

__all__ = ["all_robustness", "keep_robustness"]

#: Memory that all tables in work may use together, and how often a table holds one layer's states meanwhile.
_MEMORY = 4 * 2**30
_COPIES = 12


@contextmanager
def all_robustness(workspace: Workspace, runs: Sequence[Run]) -> Iterator[Callable[[], list[RobustnessRow]]]:
    """Begin the tables of the runs of a report; yield what waits for their rows.

    Rows that are kept are read. The others are computed in threads, since most of it is linear algebra, which Python
    goes on beside. A product has as many threads as it would have alone, so that no bit depends on what is beside it.
    A run that cannot be read has no rows, and a line says so.
    """
    asked = _questions(workspace, runs)
    kept = {question.run.run_id: question.read() for question in asked}
    opened: dict[str, RobustRuns] = {}
    for question in asked:
        if kept[question.run.run_id] is None:
            try:
                opened[question.run.run_id] = open_runs(workspace, question.run, question.others)
            except VlmprobeError as error:
                _say_why(workspace, question.run, error)
    with _threads(list(opened.values())) as executor:
        begun = {run_id: _begin(executor, each) for run_id, each in opened.items()}

        def wait() -> list[RobustnessRow]:
            found: list[RobustnessRow] = []
            for question in asked:
                run_id = question.run.run_id
                try:
                    rows = kept[run_id]
                    if rows is None and run_id in begun:
                        rows = question.keep(begun[run_id], opened[run_id])
                    found += rows or []
                except VlmprobeError as error:
                    _say_why(workspace, question.run, error)
            return found

        yield wait


def keep_robustness(workspace: Workspace, run: Run) -> None:
    """Compute the tables of a run ahead of its report, and keep them; what goes wrong, the report says."""
    # It is all tried once more when the report is made.
    with suppress(Exception), workspace.printing_to(Silent()):
        (question,) = _questions(workspace, [run])
        if question.read() is None:
            opened = open_runs(workspace, run, question.others)
            with _threads([opened]) as executor:
                question.keep(_begin(executor, opened), opened)


@dataclass(frozen=True, slots=True)
class _Question:
    """The tables of one run: where they are kept, and all that they rest on."""

    run: Run
    others: tuple[Run, ...]
    path: Path
    basis: dict[str, Any]

    def read(self) -> list[RobustnessRow] | None:
        """Return the rows that are kept; None if they rest on anything else."""
        kept = read_kept(self.path, self.basis)
        if kept is None:
            return None
        return [RobustnessRow(**(row | {"estimate": Estimate(**row["estimate"])})) for row in kept]

    def keep(self, begun: Sequence[_Begun], opened: RobustRuns) -> list[RobustnessRow]:
        """Wait for the rows, and keep them unless a run could not be read, which another time may be."""
        rows = [row for table in begun for row in table.result()]
        if len(opened.others) == len(self.others):
            keep(self.path, self.basis, [asdict(row) for row in rows])
        return rows


def _questions(workspace: Workspace, runs: Sequence[Run]) -> list[_Question]:
    families = tuple(dict.fromkeys(run.family for run in runs))
    everything = Selection(families).complete_runs(workspace)
    by = computed_by()
    found = []
    with workspace.database.transaction(write=False) as connection:
        contents = Contents(connection)
        for run in runs:
            others = others_of(run, everything)
            basis = {
                "computed_by": by,
                "analysis": read_results_json(connection, run.run_id, INPUTS.name, str(Subset.ALL)),
                "recommended": read_results_json(
                    connection, run.run_id, RECOMMENDED_LAYER.name, str(Subset.ALL)
                ),
                "runs": [[*_names(each), contents.of(each)] for each in (run, *others)],
                "output_layer": _output_layer(workspace, run),
            }
            path = workspace.storage.cache / safe_name(run.run_id, "run") / "robustness.json"
            found.append(_Question(run, tuple(others), path, basis))
    return found


def _names(run: Run) -> list[Any]:
    """Return what rows say of a run, and what decides which tables it is in."""
    return [
        run.run_id,
        run.family,
        run.scale,
        run.template,
        run.dataset_id,
        run.dataset,
        run.fingerprint,
        run.n_layers,
    ]


def _output_layer(workspace: Workspace, run: Run) -> str | None:
    """Return the hash of the file with the output layer of a run's checkpoint; None if there is none to read."""
    path = output_layer_of(workspace, run)
    # A file that cannot be read has no rows kept; whoever opens the run says why.
    with suppress(OSError):
        return workspace.shard_hashes.of(path) if path is not None and path.exists() else None
    return None


@contextmanager
def _threads(opened: Sequence[RobustRuns]) -> Iterator[ThreadPoolExecutor]:
    """Yield threads for the tables of some runs; what is not begun when this is left will not be."""
    largest = max((each.read.arrays.layer_bytes for each in opened), default=1)
    at_once = min(processors(), _MEMORY // max(_COPIES * largest, 1))
    executor = ThreadPoolExecutor(max(at_once, 1), "vlmprobe-robustness")
    with few_threads():
        try:
            yield executor
        finally:
            executor.shutdown(cancel_futures=True)


def _begin(executor: ThreadPoolExecutor, opened: RobustRuns) -> list[_Begun]:
    return [executor.submit(table) for table in tables_of(opened)]


def _say_why(workspace: Workspace, run: Run, error: VlmprobeError) -> None:
    # The rest of a report needs none of them.
    workspace.console.warn(f"{run.name}: no tables of its robustness: {error}")
