"""Formats the CSV and JSON files of the old layout: pairs and metrics in, text out.

Columns, keys and their order are those of the reference implementation. Where it writes an accuracy of 0 for no
pairs, null stands here: 0 would be a measurement.
"""

from __future__ import annotations

import csv
import json
from io import StringIO
from math import isnan
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.accuracy import category_validity
from vlmprobe.pairs.axes import SPACE, Subset

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmprobe.analysis.results import Metric
    from vlmprobe.interop.old_layout import AnsweredPair
    from vlmprobe.pairs.axes import Category

__all__ = [
    "MetricTable",
    "prediction_stats",
    "predictions_csv",
    "to_csv",
    "to_json",
    "validity",
]

_PREDICTION_COLUMNS = (
    "index",
    "group",
    "category",
    "pred_orig",
    "pred_swap",
    "is_correct_orig",
    "is_correct_swap",
)


def to_json(content: Any, indent: int = 2) -> str:
    """Format JSON like the old files; NaN is an error, since most readers reject it."""
    return json.dumps(content, indent=indent, allow_nan=False)


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a table like the old files: lines end in a plain newline, with quotes only where needed."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def predictions_csv(pairs: Iterable[AnsweredPair]) -> str:
    """Format ``predictions_{scale}_{tag}.csv``; an unknown answer is an empty cell."""
    rows = [
        [
            pair.pair_id,
            pair.axis,
            pair.category,
            pair.pred_orig or "",
            pair.pred_swap or "",
            bool(pair.correct_orig),
            bool(pair.correct_swap),
        ]
        for pair in pairs
    ]
    return to_csv(_PREDICTION_COLUMNS, rows)


def prediction_stats(scale: str, pairs: Sequence[AnsweredPair]) -> dict[str, Any]:
    """Count the right answers by axis and overall: the content of ``pred_stats_{scale}.json``.

    Returns:
        ``scale``; ``{axis}_n`` and ``{axis}_acc_orig|swap|both`` for each axis; the same for ``overall``. An
        accuracy over no pairs is None.
    """
    stats: dict[str, Any] = {"scale": scale}
    for axis in SPACE.axes:
        members = [pair for pair in pairs if pair.axis is axis]
        stats[f"{axis}_n"] = len(members)
        stats |= _accuracies(axis, members)
    return stats | _accuracies("overall", pairs) | {"overall_n": len(pairs)}


def validity(pairs: Sequence[AnsweredPair]) -> dict[str, dict[str, Any]]:
    """Return which categories are answered at chance or better, as in ``category_validity_{scale}.json``."""
    found = category_validity(
        [pair.category for pair in pairs],
        [pair.correct_orig for pair in pairs],
        [pair.correct_swap for pair in pairs],
    )
    return {
        str(category): {
            "n": each.n,
            "acc_orig": _or_null(each.acc_orig),
            "acc_swap": _or_null(each.acc_swap),
            "reliable": bool(each.reliable),
        }
        for category, each in found.items()
    }


class MetricTable:
    """Metrics by name, subset, target and layer, arranged as in the old files."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._found = {(m.name, m.subset, m.target, m.layer): m for m in metrics}
        self.layers = sorted({m.layer for m in metrics if m.layer >= 0})

    def consistency(self, subset: Subset) -> dict[str, dict[str, Any]]:
        """Content of ``within_cat_consistency_...``, by axis and then by layer."""
        places = [(c, layer) for axis in SPACE.axes for layer in self.layers for c in axis.categories]
        return self._spread("within_category_consistency", subset, places)

    def coherence(self, subset: Subset) -> dict[str, dict[str, Any]]:
        """Content of ``axis_coherence_...``, axis by axis."""
        places = [(axis, layer) for axis in SPACE.axes for layer in self.layers]
        return self._spread("axis_coherence", subset, places)

    def entanglement(self, name: str) -> dict[str, float]:
        """Content of ``vd_ei_...``: layer -> value, over all pairs."""
        key = (name, str(Subset.ALL), "vertical/distance")
        found = {layer: self._found.get((*key, layer)) for layer in self.layers}
        return {str(layer): m.value for layer, m in found.items() if m is not None and not isnan(m.value)}

    def cross_alignment(self) -> dict[str, dict[str, Any]]:
        """Content of ``cross_alignment_...``: the published form over all quads; no shuffle for one quad."""
        content = {}
        for layer in self.layers:
            single, means, shuffled = (
                self._found.get(("cross_axis_alignment.published", Subset.ALL, target, layer))
                for target in ("per_sample", "of_means", "shuffled")
            )
            if single is None or means is None or shuffled is None or not single.n:
                continue
            content[f"L{layer}"] = {
                "per_sample_mean": _or_null(single.value),
                "per_sample_std": _or_null(single.std),
                "mean_delta_alignment": _or_null(means.value),
                "permutation_mean": _or_null(shuffled.value),
                "permutation_std": _or_null(shuffled.std),
                "n_samples": single.n,
            }
        return content

    def similarity_csv(self, subset: Subset, layer: int) -> str | None:
        """Format ``delta_similarity_...``: the categories that have pairs; None if fewer than two have."""
        present = self._categories(subset, layer)
        if len(present) < 2:
            return None
        rows = [[row, *(self._cosine(subset, layer, row, column) for column in present)] for row in present]
        return to_csv(["", *present], rows)

    def norms_csv(self, subset: Subset, layer: int) -> str | None:
        """Format ``delta_norm_...``: the categories that have pairs; None if there is none."""
        present = self._categories(subset, layer)
        if not present:
            return None
        values = [self._found["delta_norm", subset, category, layer].value for category in present]
        return to_csv(["", "norm"], [[c, _cell(value)] for c, value in zip(present, values, strict=True)])

    def _spread(
        self, name: str, subset: Subset, places: Iterable[tuple[str, int]]
    ) -> dict[str, dict[str, Any]]:
        content = {}
        for target, layer in places:
            found = self._found.get((name, subset, target, layer))
            # Fewer than two vectors have no pair: the old files leave such a key out.
            if found is not None and not isnan(found.value):
                content[f"{target}_L{layer}"] = {
                    "mean": found.value,
                    "std": _or_null(found.std),
                    "n": found.n,
                }
        return content

    def _categories(self, subset: Subset, layer: int) -> list[Category]:
        norms = {c: self._found.get(("delta_norm", subset, c, layer)) for c in SPACE.categories}
        return [c for c, norm in norms.items() if norm is not None and norm.n > 0]

    def _cosine(self, subset: Subset, layer: int, first: str, second: str) -> str:
        if first == second:
            return "1.0"
        # One triangle is computed; the matrix is symmetric.
        for target in (f"{first}/{second}", f"{second}/{first}"):
            found = self._found.get(("delta_similarity", subset, target, layer))
            if found is not None:
                return _cell(found.value)
        return ""


def _accuracies(name: str, pairs: Sequence[AnsweredPair]) -> dict[str, float | None]:
    right = {
        "orig": sum(pair.correct_orig for pair in pairs),
        "swap": sum(pair.correct_swap for pair in pairs),
        "both": sum(pair.both_correct for pair in pairs),
    }
    return {f"{name}_acc_{side}": count / len(pairs) if pairs else None for side, count in right.items()}


def _or_null(value: float | None) -> float | None:
    return None if value is None or isnan(value) else value


def _cell(value: float) -> str:
    return "" if isnan(value) else repr(float(value))
