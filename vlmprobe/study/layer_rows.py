"""Rows of ``results_json`` that say which layers of a run are worth reading."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vlmprobe.analysis.catalog import LAYER_CANDIDATES, RECOMMENDED_LAYER

if TYPE_CHECKING:
    from vlmprobe.analysis import LayerCandidates
    from vlmprobe.analysis.recommendation import Recommendation
    from vlmprobe.pairs import Subset

__all__ = ["candidates_result", "recommendation_result"]


def candidates_result(candidates: LayerCandidates, subset: Subset) -> dict[str, Any]:
    """Return the row of ``results_json`` that holds the shortlist."""
    return {
        "name": LAYER_CANDIDATES.name,
        "version": LAYER_CANDIDATES.version,
        "subset": str(subset),
        "layer": -1,
        "value": asdict(candidates),
    }


def recommendation_result(recommendation: Recommendation, subset: Subset) -> dict[str, Any]:
    """Return the row of ``results_json`` that holds the recommended layer and the axes that it is for."""
    return {
        "name": RECOMMENDED_LAYER.name,
        "version": RECOMMENDED_LAYER.version,
        "subset": str(subset),
        "layer": -1,
        "value": asdict(recommendation),
    }
