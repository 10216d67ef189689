"""The public Workspace: a home whose runs, answers, states and figures can be read from Python."""

from __future__ import annotations

from functools import cached_property, partial
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe import workspace as inner
from vlmprobe.console import open_console
from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.library.run import Run, names, selection_of, split_name
from vlmprobe.pairs import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from typing import Self

    import pyarrow as pa
    from matplotlib.figure import Figure

    from vlmprobe.library.pair import Pair, Pictures
    from vlmprobe.library.run import AnyRun
    from vlmprobe.library.states import Directions, States
    from vlmprobe.library.verdict import Verdict
    from vlmprobe.workspace import Console

__all__ = ["Workspace"]


class Workspace(inner.Workspace):
    """One home, open for reading; pass it to ``extract``, ``analyze`` and ``merge`` to add to it.

    It holds no lock: the database is open for one read at a time, so other processes work on while it is open.
    A method that takes a run takes a :class:`Run`, its id, or its name (``tiny/2m``, ``tiny @ 2m``), which means
    the newest complete run of that name.
    """

    @classmethod
    def open(
        cls,
        home: str | PathLike[str] | None = None,
        *,
        experiment: str | None = None,
        console: Console | None = None,
        progress: bool | None = None,
    ) -> Self:
        """Return the workspace of a home folder, with the settings of this process.

        Args:
            home: the folder; ``VLMPROBE_HOME`` or ``vlmprobe-data`` when None.
            experiment: the MLflow experiment; ``VLMPROBE_EXPERIMENT`` or ``vlmprobe`` when None.
            console: prints messages and progress, instead of the notebook or the terminal.
            progress: whether to print messages and progress; None = in a notebook or on a terminal. Warnings are
                printed in any case.

        Raises:
            UsageError: a setting is not usable; the message names the variable.
        """
        folder = None if home is None else Path(home)
        return super().open(folder, experiment=experiment, console=console or open_console(progress=progress))

    def __repr__(self) -> str:
        return f"Workspace({str(self.settings.home)!r})"

    def runs(
        self,
        family: str | None = None,
        scale: str | None = None,
        dataset: str | None = None,
        template: str | None = None,
        status: str | None = None,
    ) -> pa.Table:
        """Return the runs that match, oldest first, one row each; see :class:`Run` for the columns.

        Raises:
            DatabaseError: there is no database, or it is not current.
        """
        return self._table(
            "runs/listed", family=family, scale=scale, dataset=dataset, template=template, status=status
        )

    def run(
        self,
        run: AnyRun,
        scale: str | None = None,
        *,
        data: str | PathLike[str] | None = None,
        template: str | None = None,
    ) -> Run:
        """Return one run: by its id, or the newest complete one of a family and scale.

        Args:
            run: its id or name; or the family, with ``scale``.
            scale: the scale, if ``run`` is a family.
            data: the name of its dataset, or the beginning of its id, where the scale has runs on several.
            template: its question template; ``published`` when neither this nor the name says another.

        Raises:
            UsageError: no run matches, or several scales or datasets do; the message lists them.
            DatabaseError: there is no database, or it is not current.
        """
        if isinstance(run, Run):
            return run
        if not isinstance(run, str):
            raise UsageError(
                f"{run!r:.40} names no run; pass what run() returns, a run's id, or a name like 'tiny/2m'"
            )
        family, of_name, named_template = split_name(run) if scale is None else (run, scale, None)
        if of_name is None and (found := self._by_id(run)):
            return found[0]
        selection = selection_of(family, of_name, data)
        newest = selection.newest_run(self, template or named_template or PUBLISHED.name)
        return self._by_id(newest.run_id)[0]

    def _by_id(self, run_id: str) -> list[Run]:
        from vlmprobe.store.queries import load_query

        with self.database.transaction(write=False) as connection:
            return load_query("runs/listed").rows(Run, connection, {"run_id": run_id})

    def predictions(self, run: AnyRun) -> pa.Table:
        """Return a run's answers, one row a question (side ``orig`` or ``swap``), in the benchmark's order.

        Raises:
            UsageError: there is no such run.
        """
        return self._table("runs/predictions", run_id=self.run(run).run_id)

    def pairs(self, run: AnyRun) -> pa.Table:
        """Return the pairs that a run has answered, one row a pair, in the benchmark's order.

        Those with ``origin`` ``row`` are the pairs of :meth:`states`, in the same order. Those with ``quad`` come last.

        Raises:
            UsageError: there is no such run.
        """
        return self._table("runs/pairs", run_id=self.run(run).run_id)

    def pair(self, run: AnyRun, pair_id: str, *, data: str | PathLike[str] | None = None) -> Pair:
        """Return one pair of a run, with its picture.

        Args:
            run: the run.
            pair_id: the pair's id, as in :meth:`pairs`.
            data: where the benchmark's file is now; None = where it was when it was extracted.

        Raises:
            UsageError: there is no such run, or it has not answered such a pair.
        """
        from vlmprobe.library.pair import Pair, PairRow
        from vlmprobe.store.axes import read_axes
        from vlmprobe.store.datasets import count_dataset
        from vlmprobe.store.queries import load_query

        found = self.run(run)
        with self.database.transaction(write=False) as connection:
            given = {"run_id": found.run_id, "pair_id": str(pair_id)}
            rows = load_query("runs/pairs").rows(PairRow, connection, given)
            extracted = count_dataset(connection, found.dataset_id, found.template).path
            axes = read_axes(connection, found.dataset_id)
        if not rows:
            raise UsageError(
                f"{found.name} has not answered a pair {str(pair_id)[:40]!r}; pairs() lists those that it has"
            )
        path = Path(extracted if data is None else data)
        return Pair.of(found, rows[0], partial(self._pictures.open, path, rows[0], axes))

    @cached_property
    def _pictures(self) -> Pictures:
        from vlmprobe.library.pair import Pictures

        return Pictures()

    def metrics(
        self,
        *runs: AnyRun,
        name: str | None = None,
        subset: str | None = None,
        target: str | None = None,
    ) -> pa.Table:
        """Return the metrics of some runs, or of all; one row per run, metric, version, subset, target and layer.

        Args:
            runs: the runs; none = all that have metrics.
            name: only this metric.
            subset: only ``all`` or ``both_correct`` pairs.
            target: only this axis, category, or pair of them.

        Raises:
            UsageError: there is no such run, metric or target, or a run has not been analyzed.
        """
        import pyarrow as pa

        from vlmprobe.analysis.catalog import CATALOG
        from vlmprobe.pairs import Subset

        if name is not None and name not in CATALOG:
            raise unknown_name("metric", name, [entry.name for entry in CATALOG.values() if entry.is_number])
        if subset is not None and subset not in list(Subset):
            raise unknown_name("subset", subset, list(map(str, Subset)))
        chosen = [self.run(run) for run in runs]
        self._require_metrics(chosen)
        run_ids: list[str | None] = [run.run_id for run in chosen]
        found = pa.concat_tables(
            self._table("runs/metrics", run_id=run_id, metric=name, subset=subset, target=target)
            for run_id in run_ids or [None]
        )
        if target is not None and not len(found):
            every = self.metrics(*chosen, name=name, subset=subset)["target"].unique().to_pylist()
            raise unknown_name("target", target, sorted(every))
        return found

    def _require_metrics(self, runs: list[Run]) -> None:
        from vlmprobe.store.metrics import analyzed_runs
        from vlmprobe.study.selection import no_metrics

        with self.database.transaction(write=False) as connection:
            analyzed = analyzed_runs(connection)
        if missing := [run for run in runs if run.run_id not in analyzed]:
            raise no_metrics([run.name for run in missing], [run.family for run in missing])

    def verdicts(
        self,
        family: str,
        scale: str | Sequence[str] | None = None,
        *,
        data: str | PathLike[str] | None = None,
        template: str = PUBLISHED.name,
    ) -> list[Verdict]:
        """Return what each axis of a family's newest analyzed runs has been shown to be of, as ``vlmprobe verdict``.

        No model is asked. A verdict that is new is kept in the home, where that can be written.

        Args:
            family: whose scales.
            scale: only this one, or these; p-values stay corrected over all scales.
            data: the name of a dataset, or the beginning of its id, where there are several.
            template: under which the runs were asked.

        Raises:
            UsageError: no run matches, several datasets do, a run has not been analyzed, or there is no such scale.
        """
        from vlmprobe.library.verdict import Verdict
        from vlmprobe.workflows.verdict import verdict

        path = None if data is None else Path(data)
        found = verdict(self, family, path, scales=names(scale), template=template)
        return [Verdict.of(each) for each in found]

    def states(self, run: AnyRun, layer: int) -> States:
        """Return one layer's hidden states of a run, with the ids of their pairs.

        Raises:
            UsageError: there is no such run, or it has no such layer.
            VlmprobeError: a shard is neither in the spool nor in MLflow.
        """
        from vlmprobe.library.states import layer_states
        from vlmprobe.store.runs import get_run
        from vlmprobe.study.selection import choose_layers

        try:
            layer = index(layer)
        except TypeError:
            raise UsageError(f"{layer!r:.40} is no layer; pass a whole number, counted from 0") from None
        found = self.run(run)
        with self.database.transaction(write=False) as connection:
            stored = get_run(connection, found.run_id)
        arrays = self.arrays(stored)
        choose_layers(stored, arrays, [layer])
        return layer_states(found, arrays, layer)

    def directions(self, run: AnyRun, layer: int, subset: str = "all") -> Directions:
        """Return each axis's direction in one layer, a unit vector that points to the canonical category.

        It is the mean of the axis's sign-corrected deltas, negated and scaled to length 1.

        Args:
            run: the run.
            layer: the decoder layer, counted from 0.
            subset: ``all`` pairs, or those with ``both_correct`` answers.

        Raises:
            UsageError: there is no such run, layer or subset.
            VlmprobeError: a shard is neither in the spool nor in MLflow, or a state is not finite.
        """
        from vlmprobe.library.states import axis_directions

        return axis_directions(self.states(run, layer), subset)

    def figure(
        self,
        name: str,
        family: str | None = None,
        *,
        scale: str | None = None,
        layer: int | None = None,
        variant: str = "all",
        data: str | PathLike[str] | None = None,
        template: str = PUBLISHED.name,
    ) -> Figure:
        """Draw one figure of the newest analyzed run of each scale, as in docs/plots.md.

        Args:
            name: the figure: the folder of its file under ``plots/``, or its file's name if the folder is ``accuracy``
                or ``compare``. An unknown name lists all.
            family: the family, where there are several.
            scale: the figure of this scale, instead of the one across scales.
            layer: the layer, for figures of one layer of a scale.
            variant: ``all`` pairs, ``both_correct`` or ``all_with_validity``.
            data: the name of a dataset, or the beginning of its id, where there are several.
            template: only runs under this question template.

        Raises:
            UsageError: a name is unknown, the figure needs a scale or a layer, or has not one number to show.
        """
        from vlmprobe.study.one_figure import draw_figure

        return draw_figure(
            self,
            name,
            selection_of(family, None, data),
            template=template,
            variant=variant,
            scale=scale,
            layer=layer,
        )

    def _table(self, query: str, **given: str | None) -> pa.Table:
        from vlmprobe.store.queries import load_query

        with self.database.transaction(write=False) as connection:
            return load_query(query).arrow(connection, given)
