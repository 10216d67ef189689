"""Rows of the database as the values that figures and reports are made of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis import LayerCurve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.store.runs import Run

__all__ = ["cosine_of", "curve_from", "most_coherent_layer", "number_of"]

#: Controls are a mean and a spread: their band is what 95 % of a normal with these would fill.
_CONTROLS = ("shuffled", "random_signs")
_Z = 1.959963984540054


def number_of(value: float | None) -> float:
    """Return a column's value; NULL is NaN."""
    return math.nan if value is None else value


def curve_from(rows: Sequence[dict[str, Any]]) -> LayerCurve:
    """Return the rows of one metric and target, by layer, as a curve; a control's bounds are its 95 % band."""
    first = rows[0]
    is_control = first["target"].split("/")[0] in _CONTROLS
    return LayerCurve(
        family=first["family"],
        scale=first["scale"],
        samples_seen=first["samples_seen"],
        metric=first["metric"],
        target=first["target"],
        subset=first["subset"],
        layers=tuple(row["layer"] for row in rows),
        values=tuple(number_of(row["value"]) for row in rows),
        low=tuple(_end(row, -_Z) if is_control else number_of(row["ci_low"]) for row in rows),
        high=tuple(_end(row, _Z) if is_control else number_of(row["ci_high"]) for row in rows),
        n=first["n"],
    )


def _end(row: dict[str, Any], z: float) -> float:
    return number_of(row["value"]) + z * number_of(row["std"])


def most_coherent_layer(curves: Sequence[LayerCurve], run: Run) -> int:
    """Return the layer with the highest mean coherence over the axes that have one; the last without any."""
    if not curves:
        return (run.n_layers or 1) - 1
    layers = curves[0].layers
    means = []
    for place in range(len(layers)):
        values = [curve.values[place] for curve in curves if not math.isnan(curve.values[place])]
        means.append(sum(values) / len(values) if values else -math.inf)
    return layers[max(range(len(layers)), key=lambda place: (means[place], place))]


def cosine_of(cosines: dict[str, float], first: str, second: str) -> float:
    """Return the cosine of two categories from those stored (one order only); NaN = no data."""
    if first == second:
        return 1.0
    return cosines.get(f"{first}/{second}", cosines.get(f"{second}/{first}", math.nan))
