"""What exchanged pictures say of a run's axes, over all layers that the runs share, beside Null 2 and Null 3."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import WORD_LEFT, WORD_OUT, null_2, null_3, scene_readings
from vlmprobe.analysis.inference import Estimate
from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs.contradictions import object_key
from vlmprobe.paths import can_write
from vlmprobe.reports.robustness import HOLDS_0, HOLDS_NOT_0
from vlmprobe.store.comparison import read_answers
from vlmprobe.store.controls import OTHER_AXIS
from vlmprobe.store.null_2 import read_null_2, store_null_2
from vlmprobe.study.evidence import evidence_of, find_null_3, find_sources, marks_of
from vlmprobe.study.pictured import Pictured, pictured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from vlmprobe.analysis.controls import Evidence
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.store.runs import Run
    from vlmprobe.study.at_layer import AtLayer
    from vlmprobe.study.evidence import Sources
    from vlmprobe.study.pictured import BoxSources
    from vlmprobe.workspace import Workspace

__all__ = ["NO_EXCHANGE", "NO_NULL_1", "NO_NULL_3", "null_2_notes", "scene_rows"]

NO_EXCHANGE = "needs exchanged pictures for this axis; run 'vlmprobe control' with --image-swaps FILE"
NO_NULL_1 = "needs the exchanged pictures with a question about another axis; run 'vlmprobe control' with --image-swaps"
NO_NULL_3 = (
    "needs random weights asked about the exchanged pictures; run 'vlmprobe control' with --image-swaps and without "
    "--verdicts-only"
)
NO_LAYER = "the runs that it needs have no layer in common"
_SCENE = (
    names.SCENE_WORD_COSINE,
    names.SCENE_COHERENCE,
    names.SCENE_LESS_NULL_1,
    names.SCENE_DISJOINT,
    names.DISJOINT_COSINE,
)


def scene_rows(workspace: Workspace, read: AtLayer, boxes: BoxSources) -> list[RobustnessRow]:
    """Read every layer that a run shares with its yes/no runs, those about exchanged pictures and their controls.

    What Null 2 gives is kept with the run, where the home can be written, for the notes of its verdicts.

    Raises:
        VlmprobeError: a shard is neither in the spool nor in MLflow, a state is not finite, or boxes cannot be read.
    """
    with workspace.database.transaction(write=False) as connection:
        sources = replace(find_sources(connection, read.run), blind={})
        sources = replace(sources, null_3=find_null_3(connection, sources))
        marks = marks_of(connection, sources)
    with workspace.opening_once():
        study = _Study(workspace, read, sources, boxes)
        rows = list(study.rows())
    # Also where nothing is known: another reading, of other boxes, is no longer what the verdicts are told.
    if sources.null_1 is not None and can_write(workspace.settings.home) and workspace.database.is_writable:
        with workspace.database.transaction() as connection:
            store_null_2(connection, read.run.run_id, {"runs": _of_null_1(marks), "layers": study.found})
    return rows


def null_2_notes(
    connection: Connection, run: Run, marks: Mapping[str, Sequence[str]], layer: int
) -> dict[str, str]:
    """Return what a verdict in a layer must say of Null 2, by axis: nothing where it holds 0 or is not known.

    Args:
        connection: to the database.
        run: that the verdict is about.
        marks: of the runs that the verdict rests on; Null 2 of others is not known.
        layer: of the verdict.
    """
    kept = read_null_2(connection, run.run_id)
    if kept is None or kept["runs"] != _of_null_1(marks):
        return {}
    return {
        axis: (
            "Null 2 does not hold 0: the exchange turns the state with a relation that it leaves as it is "
            f"(|alpha|^2 {found['value']:.3g}, lower bound {found['ci_low']:.3g})"
        )
        for axis, found in kept["layers"].get(str(layer), {}).items()
        if found["ci_low"] is not None and found["ci_low"] > 0
    }


def _of_null_1(marks: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the marks of the controls about another axis."""
    return {role: list(mark) for role, mark in marks.items() if role.endswith(OTHER_AXIS)}


@dataclass(frozen=True, slots=True)
class _Axis:
    """The pairs of one axis, in the order of its evidence."""

    name: str
    pair_ids: list[str]
    objects: list[tuple[str, str]] | None
    own: list[bool | None]
    """Categories under Null 1's question, where the exchange leaves them as they are."""
    why_none: str


class _Study:
    def __init__(self, workspace: Workspace, read: AtLayer, sources: Sources, boxes: BoxSources) -> None:
        self._workspace, self._read, self._sources = workspace, read, sources
        #: Layer -> axis -> Null 2, as far as it has an interval.
        self.found: dict[str, dict[str, dict[str, Any]]] = {}
        axes = read.arrays.axis_set
        known = Pictured({}, {}, NO_NULL_1)
        if sources.null_1 is not None:
            known = pictured(workspace, sources, axes, boxes)
        self._axes = [self._axis(name, known) for _, name in read.axes if name in read.arrays.axes]

    def rows(self) -> Iterator[RobustnessRow]:
        """Yield each number of each axis and layer; what is known of no layer has one row."""
        layers = set(self._read.arrays.layers)
        for run in self._sources.roles.values():
            layers &= set(self._workspace.arrays(run).layers)
        missing = NO_EXCHANGE if self._sources.exchanged is None else "" if layers else NO_LAYER
        if missing:
            for axis in self._axes:
                yield from self._missing(axis, missing)
            return
        evidence: dict[str, Evidence] = {}
        for layer in sorted(layers):
            evidence = evidence_of(self._workspace, self._sources, layer, [axis.name for axis in self._axes])
            for axis in self._axes:
                try:
                    yield from self._of_layer(axis, evidence[axis.name], layer)
                except ValueError as error:
                    raise VlmprobeError(f"{self._read.run.name}, layer {layer}: {error}") from error
        for axis in self._axes:
            if evidence[axis.name].scene is None:
                yield from self._missing(axis, NO_EXCHANGE)
            else:
                yield from self._of_answers(axis)

    def _axis(self, name: str, known: Pictured) -> _Axis:
        arrays = self._read.arrays
        pair_ids = [each for each, of in zip(arrays.pair_ids, arrays.axes, strict=True) if of == name]
        named = [self._read.answers[pair_id] for pair_id in pair_ids]
        ends = [(each.subject, each.reference) for each in named]
        objects = [
            (object_key(one), object_key(other))
            for one, other in ends
            if one is not None and other is not None
        ]
        own = [known.kept(pair_id) for pair_id in pair_ids]
        return _Axis(
            name,
            pair_ids,
            objects if len(objects) == len(ends) else None,
            own,
            known.why_none(pair_ids),
        )

    def _missing(self, axis: _Axis, reason: str) -> Iterator[RobustnessRow]:
        nothing = Estimate(None, 0, reason=reason)
        for entry in (*_SCENE, names.NULL_2, names.NULL_2_CHANGED, names.NULL_3):
            yield self._row(entry.name, axis, nothing, len(axis.pair_ids), self._read.layer)

    def _of_layer(self, axis: _Axis, evidence: Evidence, layer: int) -> Iterator[RobustnessRow]:
        found = scene_readings(evidence, axis.objects)
        if found is None or evidence.scene is None:
            return
        unknown = Estimate(None, 0, reason=NO_NULL_1)
        n, word = _n_asked(evidence.scene.space), WORD_OUT if found.word_out else WORD_LEFT
        values = (found.cosine, found.coherence, found.less_null_1, found.disjoint, found.disjoint_cosine)
        for entry, value in zip(_SCENE, values, strict=True):
            note = word if value is not None and entry is not names.DISJOINT_COSINE else ""
            yield self._row(entry.name, axis, value or unknown, n, layer, note)
        yield self._of_random_weights(axis, evidence, layer)
        n_kept = sum(each is not None for each in axis.own)
        if evidence.null_1 is None or not n_kept:
            value = Estimate(None, 0, reason=axis.why_none if evidence.null_1 is not None else NO_NULL_1)
            yield self._row(names.NULL_2.name, axis, value, n_kept, layer)
            return
        value = null_2(evidence.null_1, axis.own, evidence.images)
        note = "" if value.ci_low is None else HOLDS_NOT_0 if value.ci_low > 0 else HOLDS_0
        if value.ci_low is not None:
            self.found.setdefault(str(layer), {})[axis.name] = asdict(value)
        yield self._row(names.NULL_2.name, axis, value, n_kept, layer, note)

    def _of_random_weights(self, axis: _Axis, evidence: Evidence, layer: int) -> RobustnessRow:
        found = null_3(evidence)
        if found is None or evidence.null_3 is None:
            return self._row(names.NULL_3.name, axis, Estimate(None, 0, reason=NO_NULL_3), 0, layer)
        value, word_out = found
        n = _n_asked(evidence.null_3.space)
        return self._row(names.NULL_3.name, axis, value, n, layer, WORD_OUT if word_out else WORD_LEFT)

    def _of_answers(self, axis: _Axis) -> Iterator[RobustnessRow]:
        """Yield the share of yes/no answers that differ in the two pictures, of questions that either answers."""
        kept = {name for name, own in zip(axis.pair_ids, axis.own, strict=True) if own is not None}
        changed = []
        if self._sources.null_1 is not None and kept:
            with self._workspace.database.transaction(write=False) as connection:
                for runs in zip(*self._sources.null_1, strict=True):
                    one, other = (read_answers(connection, run.run_id) for run in runs)
                    changed += [
                        one[key] != other[key]
                        for key in one
                        if key in other and key[0] in kept and {one[key], other[key]} != {None}
                    ]
        reason = (
            "" if changed else axis.why_none if not kept else "no question of them was answered yes or no"
        )
        value = Estimate(float(np.mean(changed)) if changed else None, 0, reason=reason)
        yield self._row(names.NULL_2_CHANGED.name, axis, value, len(changed), self._read.layer)

    def _row(
        self, metric: str, axis: _Axis, value: Estimate, n: int, layer: int, note: str = ""
    ) -> RobustnessRow:
        own = self._read.row("scene", metric, axis.name, value, n, note)
        return own if layer == self._read.layer else replace(own, layer=layer, layer_is="")


def _n_asked(vectors: Any) -> int:
    return int((~np.isnan(vectors).any(axis=1)).sum())
