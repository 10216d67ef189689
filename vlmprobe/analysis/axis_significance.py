"""Whether there is an axis at all, in any layer of a run: category labels are permuted among its pairs.

How large an axis is, :mod:`vlmprobe.analysis.axis_metrics` says. A small p-value says that some axis is there; not that
it is large, nor that it is about space: the labels cannot be told from anything else that goes with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmprobe.analysis.catalog import AXIS_COHERENCE_BALANCED, AXIS_TEST
from vlmprobe.analysis.deltas import category_codes
from vlmprobe.analysis.inference import LabelPermutations, axis_tests
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from vlmprobe.analysis.deltas import IntArray
    from vlmprobe.analysis.inference import AxisTest
    from vlmprobe.pairs.axes import AxisSet

__all__ = ["TESTS_TOGETHER", "AxisSignificance"]

#: Tests that Holm's rule corrects together where a study is read: three axes, five scales, two subsets. Where few draws
#: exceed the data there are 100 draws for each, so that the smallest p-value still counts after the correction.
TESTS_TOGETHER = 30
METHOD = "label permutation"


@dataclass(frozen=True, slots=True)
class _Family:
    """The pairs of one axis and subset."""

    rows: IntArray
    n_images: int
    permutations: LabelPermutations


class AxisSignificance:
    """The tests of one run's axes, for all pairs and for those with both answers right."""

    def __init__(
        self,
        categories: Sequence[str],
        images: Sequence[str],
        pair_ids: Sequence[str],
        *,
        seed: int,
        both_correct: npt.NDArray[np.bool_] | None = None,
        axes: AxisSet = SPACE,
    ) -> None:
        """Sort the pairs by axis and subset.

        Args:
            categories: N category names.
            images: N image names or hashes; their pairs keep together.
            pair_ids: N names, whose hashes order the pairs of an image.
            seed: of the permutations; goes into the result.
            both_correct: (N,) mask of the pairs with both answers right; without it only ``all`` is tested.
            axes: the set that the categories are of.

        Raises:
            ValueError: the lengths differ, or a name is no category.
        """
        codes = category_codes(categories, axes)
        if not len(codes) == len(images) == len(pair_ids):
            raise ValueError(f"{len(codes)} pairs need one image and name each")
        subsets = {Subset.ALL: np.ones(len(codes), dtype=bool)}
        if both_correct is not None:
            subsets[Subset.BOTH_CORRECT] = np.asarray(both_correct, dtype=bool)
        names, keys = np.asarray(images, dtype=np.str_), np.asarray(pair_ids, dtype=np.str_)
        self._seed = seed
        self._families: dict[tuple[Subset, str], _Family] = {}
        for subset, inside in subsets.items():
            for place, axis in enumerate(axes):
                rows = np.flatnonzero((codes // 2 == place) & inside)
                of_axis = names[rows].tolist()
                permutations = LabelPermutations(
                    codes[rows] % 2 == 0, of_axis, keys[rows].tolist(), seed=seed
                )
                self._families[subset, str(axis)] = _Family(rows, len(set(of_axis)), permutations)

    def __call__(
        self,
        metrics: Sequence[Metric],
        states_of: Callable[[int], npt.NDArray[Any]],
        resolved: Mapping[int, Mapping[tuple[Subset, str], bool]],
    ) -> list[Metric]:
        """Test the axes over all layers, once a run: the draws go on from one call to the next.

        Args:
            metrics: of all layers.
            states_of: layer -> (N, 2, D) states, orig then swap; each layer is read once or twice.
            resolved: layer -> ``AxesOfLayer.resolved``. Only in such layers may an axis be found: unit vectors turn an
                order effect into an axis where one category is noisier.

        Returns:
            The metrics, with ``p_value`` (of the layer alone) and ``p_layers`` (over all of them) of the balanced
            coherence; then each axis's ``axis_test``, the p-value of the smallest one.
        """
        layers = list(resolved)
        tests = axis_tests(
            {_name(*key): family.permutations for key, family in self._families.items()},
            lambda place: self._units(states_of(layers[place])),
            len(layers),
            n_tests=TESTS_TOGETHER,
            eligible={_name(*key): [resolved[layer][key] for layer in layers] for key in self._families},
        )
        place_of = {layer: place for place, layer in enumerate(layers)}
        found = [
            self._with_p(metric, tests[_name(metric.subset, metric.target)], place_of[metric.layer])
            if metric.name == AXIS_COHERENCE_BALANCED.name
            else metric
            for metric in metrics
        ]
        return found + [
            self._metric(*key, family, tests[_name(*key)]) for key, family in self._families.items()
        ]

    def _units(self, states: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """Return each family's (n, D) directions of deltas, zero for a zero delta."""
        deltas = np.subtract(states[:, 1], states[:, 0], dtype=np.float64)
        lengths = np.linalg.norm(deltas, axis=1, keepdims=True)
        np.divide(deltas, lengths, out=deltas, where=lengths > 0)
        units = deltas.astype(np.float32)
        return {_name(*key): units[family.rows] for key, family in self._families.items()}

    def _with_p(self, metric: Metric, test: AxisTest, place: int) -> Metric:
        layer = test.layers[place]
        return replace(metric, p_value=layer.p_value, p_layers=layer.p_adjusted, seed=self._seed)

    def _metric(self, subset: Subset, axis: str, family: _Family, test: AxisTest) -> Metric:
        return Metric(
            name=AXIS_TEST.name,
            version=AXIS_TEST.version,
            subset=str(subset),
            target=axis,
            layer=-1,
            value=nan if test.p_value is None else test.p_value,
            std=None,
            n=len(family.rows),
            p_value=test.p_value,
            seed=self._seed,
            n_images=family.n_images,
            method=METHOD,
            reason=test.reason or None,
        )


def _name(subset: str, axis: str) -> str:
    return f"{subset}/{axis}"
