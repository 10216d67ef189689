"""What a verdict rests on: finds the runs that belong to a real one, and reads their deltas.

The delta of the scene. A swap pair exchanges two names and keeps the picture; exchanged pictures keep the question.
Of the question ``orig``, d_o = h(exchanged picture) - h(picture) turns the relation of the two named objects, and the
right answer, as h(swap) - h(orig) does. Of the question ``swap``, d_s turns both the other way. So the two that are
comparable are h(swap) - h(orig) and::

    (d_o - d_s) / 2

Its parts that both questions share cancel: that the picture is another one, and where each object now lies as long as
the question plays no part. What is left depends on question and picture together. Null 1 is made alike, from the same
exchange under questions about another axis, so that a place of the first-named object, which any question brings
along, is in both. Either of d_o and -d_s alone would also be comparable; it has the noise and the common parts besides.

Pairs about a picture and about its exchange are not independent. They form one unit, as do pairs about one picture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.controls import Counterbalanced, Evidence
from vlmprobe.errors import VlmprobeError
from vlmprobe.pairs import YES_NO
from vlmprobe.store.arrays import read_inputs
from vlmprobe.store.controls import GREY, OTHER_AXIS, OTHER_IMAGE, RANDOM_WEIGHTS, kind_of
from vlmprobe.store.image_swaps import swapped_pictures, swaps_of
from vlmprobe.store.runs import complete_runs, controls_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    from sqlalchemy import Connection

    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["Sources", "evidence_of", "find_null_3", "find_sources", "marks_of"]

#: Controls without the picture, in the coordinates of the run that they serve.
_BLIND = (GREY, OTHER_IMAGE)
#: What two runs of one model under the same settings may differ in.
_NO_SETTINGS = {"template", "dataset_id", "decoding", "control", "serves"}

_Both = tuple["Run", "Run"]


@dataclass(frozen=True, slots=True)
class Sources:
    """The runs that a verdict about a real one rests on; None where they are not there."""

    real: Run
    blind: Mapping[str, Run] = field(default_factory=dict)
    """Kind, with its seed, to the control."""
    answers: _Both | None = None
    """Under the two yes/no templates."""
    exchanged: _Both | None = None
    """The same about exchanged pictures."""
    null_1: tuple[_Both, _Both] | None = None
    """Controls about another axis: those of ``answers``, those of ``exchanged``."""
    pictures: Mapping[str, str] = field(default_factory=dict)
    """Id of a pair with an exchanged picture to the hash of that."""
    null_3: tuple[_Both, _Both] | None = None
    """As ``null_1``, with random weights; only where someone looks for them, since no verdict rests on them."""

    @property
    def roles(self) -> dict[str, Run]:
        """Each run by what it is here."""
        found = {"real": self.real, **self.blind}
        for name, both in (("", self.answers), (", exchanged", self.exchanged)):
            found |= {f"{template}{name}": run for template, run in zip(YES_NO, both or (), strict=False)}
        for kind, four in ((OTHER_AXIS, self.null_1), (RANDOM_WEIGHTS, self.null_3)):
            for name, both in zip(("", ", exchanged"), four or (), strict=False):
                found |= {
                    f"{template}{name}, {kind}": run for template, run in zip(YES_NO, both, strict=True)
                }
        return found


def find_sources(connection: Connection, run: Run) -> Sources:
    """Find the newest complete runs that belong to a real run: same family, scale, weights and settings.

    Of several files of exchanged pictures it is the newest whose controls are there, too.

    Random weights are among no control here: they share no coordinates with the run. See :func:`find_null_3`.
    """
    everything = complete_runs(connection, families=(run.family,), scales=(run.scale,), controls=True)
    real = [each for each in everything if each.control is None and _same_model(each, run)]
    # Sorted by age: of several the newest stays.
    controls = {(each.serves, str(each.control)): each for each in everything if each.control is not None}
    own = [(kind, each) for (serves, kind), each in controls.items() if serves == run.run_id]
    blind = {kind: each for kind, each in sorted(own, key=_first) if kind_of(kind) in _BLIND}
    answers = _under_both(real, run.dataset_id)
    if answers is None:
        return Sources(run, blind)
    there = []
    for other in swaps_of(connection, run.dataset_id, YES_NO[0]):
        exchanged = _under_both(real, other.dataset_id)
        if exchanged is not None:
            null_1 = _of_all_four(controls, OTHER_AXIS, answers, exchanged)
            # Ids of runs are in the order of time: of several files the one that was asked last.
            age = max(each.run_id for each in exchanged)
            there.append(((null_1 is not None, age), other.dataset_id, exchanged, null_1))
    if not there:
        return Sources(run, blind, answers)
    _, dataset_id, exchanged, null_1 = max(there, key=lambda each: each[0])
    pictures = swapped_pictures(connection, run.dataset_id, dataset_id, YES_NO[0])
    return Sources(run, blind, answers, exchanged, null_1, pictures=pictures)


def find_null_3(connection: Connection, sources: Sources) -> tuple[_Both, _Both] | None:
    """Find the newest complete controls with random weights, of one seed, of all four runs about the scene.

    Args:
        connection: in a transaction.
        sources: as :func:`find_sources` returns them.

    Returns:
        Those of ``answers`` and those of ``exchanged``; None where one of the four is missing.
    """
    if sources.answers is None or sources.exchanged is None:
        return None
    served = [run.run_id for run in (*sources.answers, *sources.exchanged)]
    complete = [each for each in controls_of(connection, served) if each.status == "complete"]
    controls = {(each.serves, str(each.control)): each for each in complete}
    return _of_all_four(controls, RANDOM_WEIGHTS, sources.answers, sources.exchanged)


def marks_of(connection: Connection, sources: Sources) -> dict[str, list[str]]:
    """Return each role's run id and the hash of its pairs, answers and shards: equal marks mean equal evidence."""
    inputs: dict[str, str] = {}
    for run in sources.roles.values():
        if run.run_id not in inputs:
            inputs[run.run_id] = read_inputs(connection, run.run_id).sha256
    return {role: [run.run_id, inputs[run.run_id]] for role, run in sources.roles.items()}


def evidence_of(
    workspace: Workspace, sources: Sources, layer: int, axes: Sequence[str]
) -> dict[str, Evidence]:
    """Read the deltas of some axes in one layer, under all that was run.

    What was run, but for no pair of an axis, counts as not run for that axis.

    Args:
        workspace: the home.
        sources: of a real run with states.
        layer: which all of the runs have.
        axes: their names.

    Raises:
        VlmprobeError: a run lacks the layer, or a shard is neither in the spool nor in MLflow.
    """
    states = _States(workspace, sources, layer)
    real = states.swaps(sources.real)
    blind = {kind: states.swaps(run) for kind, run in sources.blind.items()}
    answers = scene = null_1 = null_3 = None
    if sources.answers is not None:
        answers = Counterbalanced(*(states.swaps(run) for run in sources.answers))
    if sources.answers is not None and sources.exchanged is not None:
        scene = states.exchange(sources.answers, sources.exchanged)
    if sources.null_1 is not None:
        null_1 = states.exchange(*sources.null_1)
    if sources.null_3 is not None:
        null_3 = states.exchange(*sources.null_3)
    units = _units(states.images, [sources.pictures.get(name) for name in states.pair_ids])
    found = {}
    for axis in axes:
        rows = np.flatnonzero(states.axes == axis)
        found[axis] = Evidence(
            real=real[rows],
            canonical=states.canonical[rows],
            images=[units[row] for row in rows],
            blind={kind: each[rows] for kind, each in blind.items() if _any_asked(each[rows])},
            answers=_of_rows(answers, rows),
            scene=_of_rows(scene, rows),
            null_1=_of_rows(null_1, rows),
            null_3=_of_rows(null_3, rows),
        )
    return found


class _States:
    """States of several runs in one layer, in the order of the real run's pairs."""

    def __init__(self, workspace: Workspace, sources: Sources, layer: int) -> None:
        self._workspace, self._layer = workspace, layer
        arrays = workspace.arrays(sources.real)
        self.pair_ids, self.images = arrays.pair_ids, arrays.images
        self.axes = np.array(arrays.axes, dtype=np.str_)
        self.canonical = np.array(
            [arrays.axis_set.category(name).is_canonical for name in arrays.categories], dtype=bool
        )
        self._exchanged = np.array([name in sources.pictures for name in arrays.pair_ids], dtype=bool)

    def swaps(self, run: Run) -> npt.NDArray[np.float32]:
        """Return (N, D) h(swap) - h(orig); a row of NaN is a pair that the run was not asked about."""
        states = self._of(run)
        return states[:, 1] - states[:, 0]

    def exchange(self, pictures: _Both, exchanged: _Both) -> Counterbalanced:
        """Return (d_o - d_s) / 2 under both templates: what an exchange of pictures does as one of names would."""
        return Counterbalanced(*(self._scene(*both) for both in zip(pictures, exchanged, strict=True)))

    def _scene(self, picture: Run, exchanged: Run) -> npt.NDArray[np.float32]:
        change = self._of(exchanged) - self._of(picture)
        found: npt.NDArray[np.float32] = (change[:, 0] - change[:, 1]) * np.float32(0.5)
        # A pair of one id that is no image swap is no evidence.
        found[~self._exchanged] = np.nan
        return found

    def _of(self, run: Run) -> npt.NDArray[np.float32]:
        arrays = self._workspace.arrays(run)
        if self._layer not in arrays.layers:
            raise VlmprobeError(f"{run.name} has no layer {self._layer}; it has {arrays.layers}")
        stored = arrays.layer(self._layer)
        place_of = {name: place for place, name in enumerate(arrays.pair_ids)}
        found = np.full((len(self.pair_ids), *stored.shape[1:]), np.nan, dtype=np.float32)
        here = [(row, place_of[name]) for row, name in enumerate(self.pair_ids) if name in place_of]
        if here:
            rows, places = np.array(here).T
            found[rows] = stored[places]
        return found


def _same_model(run: Run, other: Run) -> bool:
    return run.fingerprint == other.fingerprint and _settings(run) == _settings(other)


def _settings(run: Run) -> dict[str, Any]:
    # Imported runs have no identity, but a number format.
    identity: dict[str, Any] = run.config.get("identity") or {"dtype": run.dtype}
    return {name: value for name, value in identity.items() if name not in _NO_SETTINGS}


def _under_both(runs: Sequence[Run], dataset_id: str) -> _Both | None:
    newest = {run.template: run for run in runs if run.dataset_id == dataset_id}
    first, second = (newest.get(template) for template in YES_NO)
    return None if first is None or second is None else (first, second)


def _of_all_four(
    controls: Mapping[tuple[str | None, str], Run], wanted: str, answers: _Both, exchanged: _Both
) -> tuple[_Both, _Both] | None:
    """Return the controls of a kind, of one seed for all four runs: the first seed that all have."""
    kinds = sorted({kind for _, kind in controls if kind_of(kind) == wanted})
    for kind in kinds:
        four = [controls.get((run.run_id, kind)) for run in (*answers, *exchanged)]
        there = [run for run in four if run is not None]
        if len(there) == len(four):
            return (there[0], there[1]), (there[2], there[3])
    return None


def _first(of_kind: tuple[str, Run]) -> str:
    return of_kind[0]


def _any_asked(deltas: npt.NDArray[Any]) -> bool:
    return bool((~np.isnan(deltas).all(axis=1)).any())


def _of_rows(halves: Counterbalanced | None, rows: npt.NDArray[np.int64]) -> Counterbalanced | None:
    """Return some pairs of both halves; None if none of these was asked in both."""
    if halves is None:
        return None
    found = Counterbalanced(halves.first[rows], halves.opposite[rows])
    return found if _any_asked(found.space) else None


def _units(images: Sequence[str], exchanged: Sequence[str | None]) -> list[str]:
    """Return one name for pictures that are linked by exchanges, of each: that of the first of them."""
    head: dict[str, str] = {}

    def find(image: str) -> str:
        while head.setdefault(image, image) != image:
            image = head[image]
        return image

    for image, other in _links(images, exchanged):
        one, two = find(image), find(other)
        if one != two:
            head[two] = one
    return [find(image) for image in images]


def _links(images: Sequence[str], exchanged: Sequence[str | None]) -> Iterator[tuple[str, str]]:
    for image, other in zip(images, exchanged, strict=True):
        if other is not None:
            yield image, other
