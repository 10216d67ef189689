"""Whether there is an axis at all, in any layer of a run: category labels are permuted among its pairs.

How large an axis is, :mod:`vlmprobe.analysis.axis_metrics` says. A small p-value says that some axis is there; not that
it is large, nor that it is about space: the labels cannot be told from anything else that goes with them. Where such
a thing is known, labels are exchanged within strata of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import AXIS_COHERENCE_BALANCED, AXIS_TEST
from vlmprobe.analysis.inference import AxisTests, Directions, LabelPermutations
from vlmprobe.analysis.inference.layers import DRAWS_PER_TEST, DRAWS_PER_TEST_AND_LAYER
from vlmprobe.analysis.results import Metric
from vlmprobe.pairs.axes import Subset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmprobe.analysis.deltas import BoolArray, FloatArray
    from vlmprobe.analysis.inference import AxisTest
    from vlmprobe.analysis.layer_sums import LayerVectors
    from vlmprobe.analysis.pair_groups import PairGroups
    from vlmprobe.pairs.strata import Strata

__all__ = ["METHOD", "N_DRAWS", "TESTS_TOGETHER", "AxisSignificance", "family_size", "smallest_p"]

#: Tests that Holm's rule corrects together where a study is read: three axes, five scales, two subsets. All layers
#: share 40 draws for each; where few of them exceed the data, the best layer has more.
TESTS_TOGETHER = 30
N_DRAWS = 40 * TESTS_TOGETHER - 1
#: Up to so many runs of one benchmark and template are judged together with ``TESTS_TOGETHER``; of more, their axes of
#: one subset would have no p-value that the correction leaves below .05.
_RUNS_TOGETHER = 10
#: ``method`` of the tests, before what they are within.
METHOD = "label permutation"


def family_size(n_runs: int) -> int:
    """Return for how many tests the best layers are to have draws, of so many runs of one benchmark and template.

    In steps, so that few runs are analyzed again when one is added.
    """
    found, together = TESTS_TOGETHER, _RUNS_TOGETHER
    while together < n_runs:
        found, together = 2 * found, 2 * together
    return found


@dataclass(frozen=True, slots=True)
class _Family:
    """The pairs of one axis and subset."""

    axis: int
    inside: BoolArray
    """(n,) which of the axis's pairs, in the order of ``PairGroups``."""
    n_images: int
    permutations: LabelPermutations


def smallest_p(n_layers: int, n_runs: int = 1) -> float:
    """Return the smallest p-value that an axis can have over so many layers: no draw of its best layer tops the data.

    About 1/1,200 with three layers or more, since the draws of the best layer are 40 for each test and layer; with
    fewer layers there are more draws for each of them, and so there are beside many runs.
    """
    n_draws = max(DRAWS_PER_TEST_AND_LAYER * n_layers, DRAWS_PER_TEST) * family_size(n_runs)
    return n_layers / (1 + n_draws)


class AxisSignificance:
    """The tests of one run's axes, for all pairs and for those with both answers right."""

    def __init__(
        self,
        groups: PairGroups,
        pair_ids: Sequence[str],
        *,
        seed: int,
        strata: Strata | None = None,
        n_tests: int = TESTS_TOGETHER,
    ) -> None:
        """Sort the pairs by axis and subset, and draw the labels.

        Args:
            groups: of the N pairs.
            pair_ids: N names, whose hashes order the pairs of an image.
            seed: of the permutations; goes into the result.
            strata: of the images; labels are exchanged within one. Without: among all images.
            n_tests: tests that Holm's rule will correct together (``family_size``).

        Raises:
            ValueError: the lengths differ.
            InputError: an image has no stratum.
        """
        if len(groups.codes) != len(pair_ids):
            raise ValueError(f"{len(groups.codes)} pairs need one name each, got {len(pair_ids)}")
        keys = np.asarray(pair_ids, dtype=np.str_)[groups.order]
        images, codes, right = groups.images[groups.order], groups.groups.codes, groups.groups.right
        self._seed = seed
        self._method = METHOD if strata is None else f"{METHOD} within strata of {strata.column}"
        self._families: dict[tuple[Subset, str], _Family] = {}
        for subset in groups.subsets:
            for place, axis in enumerate(groups.axes):
                of_axis = codes // 2 == place
                inside = right[of_axis] | (subset is not Subset.BOTH_CORRECT)
                rows = np.flatnonzero(of_axis)[inside]
                names = images[rows].tolist()
                permutations = LabelPermutations(
                    codes[rows] % 2 == 0,
                    names,
                    keys[rows].tolist(),
                    seed=seed,
                    strata=None if strata is None else strata.of(names),
                )
                family = _Family(place, inside, len(set(names)), permutations)
                self._families[subset, str(axis)] = family
        self._tests = AxisTests(
            {_name(*key): family.permutations for key, family in self._families.items()},
            n_tests=n_tests,
            n_draws=N_DRAWS,
        )

    def of_layer(self, vectors: LayerVectors) -> dict[str, FloatArray]:
        """Return each family's values in one layer, of the data and of the draws."""
        families = {_name(*key): family for key, family in self._families.items()}
        return self._tests.of_layer(_OneByOne(families, lambda family: self._directions(vectors, family)))

    def __call__(
        self,
        metrics: Sequence[Metric],
        found: Mapping[int, Mapping[str, FloatArray]],
        resolved: Mapping[int, Mapping[tuple[Subset, str], bool]],
        vectors_of: Callable[[int], LayerVectors],
    ) -> list[Metric]:
        """Test the axes over all layers.

        Args:
            metrics: of all layers.
            found: layer -> its ``of_layer``.
            resolved: layer -> ``AxesOfLayer.resolved``. Only in such layers may an axis be found: unit vectors turn an
                order effect into an axis where one category is noisier.
            vectors_of: layer -> its vectors; a few layers are read again, where a p-value is to be refined.

        Returns:
            The metrics, with ``p_value`` (of the layer alone) and ``p_layers`` (over all of them) of the balanced
            coherence; then each axis's ``axis_test``, the p-value of the smallest one.
        """
        layers, families = list(found), {_name(*key): family for key, family in self._families.items()}
        tests = self._tests.finish(
            [found[layer] for layer in layers],
            lambda place, name: self._directions(vectors_of(layers[place]), families[name]),
            eligible={_name(*key): [resolved[layer][key] for layer in layers] for key in self._families},
        )
        place_of = {layer: place for place, layer in enumerate(layers)}
        tested = [
            self._with_p(metric, tests[_name(metric.subset, metric.target)], place_of[metric.layer])
            if metric.name == AXIS_COHERENCE_BALANCED.name
            else metric
            for metric in metrics
        ]
        return tested + [
            self._metric(*key, family, tests[_name(*key)]) for key, family in self._families.items()
        ]

    def _directions(self, vectors: LayerVectors, family: _Family) -> Directions:
        """Return directions that are not sign-corrected."""
        signs = np.where(family.permutations.observed()[0], 1.0, -1.0).astype(np.float32)
        cosines = vectors.cosines_of_axis(family.axis)
        if cosines is not None:
            chosen = cosines[family.inside][:, family.inside].astype(np.float32)
            return Directions(cosines=chosen * signs * signs[:, None])
        units = vectors.units_of_axis(family.axis)[family.inside].astype(np.float32, copy=False)
        # In place: it is a copy of its own, of up to a third of a layer.
        units *= signs[:, None]
        return Directions(units)

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
            n=int(family.inside.sum()),
            p_value=test.p_value,
            seed=self._seed,
            n_images=family.n_images,
            method=self._method,
            reason=test.reason or None,
        )


class _OneByOne(Mapping[str, Directions]):
    """The directions of families, made when they are asked for: all at once would be a copy of a layer and more."""

    def __init__(self, families: Mapping[str, _Family], make: Callable[[_Family], Directions]) -> None:
        self._families, self._make = families, make

    def __getitem__(self, name: str) -> Directions:
        return self._make(self._families[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._families)

    def __len__(self) -> int:
        return len(self._families)


def _name(subset: str, axis: str) -> str:
    return f"{subset}/{axis}"
