"""Hidden states of one layer of a run, and the directions of the axes in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis import axis_direction
from vlmprobe.analysis.deltas import check_finite
from vlmprobe.analysis.deltas import deltas as subtract
from vlmprobe.errors import UsageError, VlmprobeError, unknown_name
from vlmprobe.pairs import Subset

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from vlmprobe.library.run import Run
    from vlmprobe.pairs import AxisSet
    from vlmprobe.store.arrays import RunArrays

__all__ = ["Directions", "NoDirectionError", "States", "axis_directions", "layer_states"]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class States:
    """One layer's hidden states of the pairs that a run has answered, in the benchmark's order."""

    run: Run
    layer: int
    """The decoder layer, counted from 0."""
    values: npt.NDArray[np.float32]
    """(n, 2, dim): per pair the state of the original question, then that of the swapped one."""
    pair_ids: tuple[str, ...]
    categories: tuple[str, ...]
    axes: tuple[str, ...]
    both_correct: npt.NDArray[np.bool_]
    """(n,): whether both answers are right."""
    _axis_set: AxisSet

    @property
    def deltas(self) -> npt.NDArray[np.float64]:
        """(n, dim): h(swap) - h(orig) of each pair, subtracted in float64."""
        return subtract(self.values[:, 0], self.values[:, 1])

    def __len__(self) -> int:
        return len(self.pair_ids)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values.shape))
        return f"<States of {self.run.name}, layer {self.layer}: {shape} {self.values.dtype} (pairs, sides, dim)>"


def layer_states(run: Run, arrays: RunArrays, layer: int) -> States:
    """Read one layer of a run, which must have it."""
    return States(
        run,
        layer,
        arrays.layer(layer),
        tuple(arrays.pair_ids),
        tuple(arrays.categories),
        tuple(arrays.axes),
        arrays.both_correct,
        arrays.axis_set,
    )


class NoDirectionError(UsageError, KeyError):
    """An axis has no direction, or there is no such axis; the message says which."""

    # A KeyError would print its message in quotes.
    __str__ = Exception.__str__


class Directions(Mapping[str, "npt.NDArray[np.float64]"]):
    """Axis -> unit vector of shape (dim,), which points to the axis's canonical category.

    An axis whose pairs give no direction is not among the keys; looking it up says why.
    """

    def __init__(
        self,
        run: Run,
        layer: int,
        subset: str,
        vectors: Mapping[str, npt.NDArray[np.float64]],
        missing: Mapping[str, str],
    ) -> None:
        """Store the vectors; ``missing`` says of each other axis why it has none."""
        self.run, self.layer, self.subset = run, layer, subset
        self._vectors, self._missing = dict(vectors), dict(missing)

    def __getitem__(self, axis: str) -> npt.NDArray[np.float64]:
        if (vector := self._vectors.get(axis)) is not None:
            return vector
        if axis in self._missing:
            raise NoDirectionError(f"{self._where()}: {axis} has no direction: {self._missing[axis]}")
        raise NoDirectionError(str(unknown_name("axis", axis, [*self._vectors, *self._missing])))

    def __iter__(self) -> Iterator[str]:
        return iter(self._vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def __repr__(self) -> str:
        dims = {vector.shape[0] for vector in self._vectors.values()}
        shown = f"{', '.join(self._vectors) or 'none'}" + (f" ({dims.pop()} numbers each)" if dims else "")
        without = f"; without {', '.join(self._missing)}" if self._missing else ""
        return f"<Directions of {self._where()}: {shown}{without}>"

    def _where(self) -> str:
        return f"{self.run.name}, layer {self.layer}, {self.subset} pairs"


def axis_directions(states: States, subset: str) -> Directions:
    """Return the direction of each axis over a subset of the pairs; see :func:`axis_direction`.

    Raises:
        UsageError: there is no such subset.
        VlmprobeError: a hidden state is not finite.
    """
    if subset not in list(Subset):
        raise unknown_name("subset", subset, list(map(str, Subset)))
    try:
        check_finite(states.values, "pairs", layer=states.layer)
    except ValueError as error:
        raise VlmprobeError(f"{states.run.name}: {error}") from error
    inside = np.ones_like(states.both_correct) if subset == Subset.ALL else states.both_correct
    axes: npt.NDArray[Any] = np.array(states.axes, dtype=object)
    vectors: dict[str, npt.NDArray[np.float64]] = {}
    missing: dict[str, str] = {}
    for axis in (name for name in map(str, states._axis_set) if name in states.axes):
        rows = np.flatnonzero((axes == axis) & inside)
        chosen = states.values[rows]
        direction = axis_direction(
            chosen[:, 0], chosen[:, 1], [states.categories[row] for row in rows], states._axis_set
        )
        if direction is not None:
            vectors[axis] = direction
        elif len(rows):
            missing[axis] = "the mean of its deltas is zero"
        else:
            missing[axis] = "no pair of it has both answers right"
    return Directions(states.run, states.layer, subset, vectors, missing)
