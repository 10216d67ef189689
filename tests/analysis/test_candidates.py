"""Which layers are short-listed, and why."""

from __future__ import annotations

import json
from dataclasses import asdict
from math import nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmprobe.analysis import Metric, layer_candidates
from vlmprobe.analysis.layer_choice import peaks

GOLDEN = Path(__file__).parents[1] / "golden" / "molmo_400k" / "json"
RISING = {0: 0.1, 1: 0.5, 2: 0.9, 3: 1.0}


def axes(horizontal, vertical, distance):
    """Name the coherences of the three axes."""
    return {"horizontal": horizontal, "vertical": vertical, "distance": distance}


def test_the_golden_recommendation_follows_from_coherence_and_entanglement():
    """The file is what ``asdict`` gives, in value and in order."""
    coherence = {}
    for key, entry in json.loads((GOLDEN / "axis_coherence_400k_all_pairs.json").read_text()).items():
        axis, layer = key.split("_L")
        coherence.setdefault(axis, {})[int(layer)] = entry["mean"]
    entanglement = json.loads((GOLDEN / "vd_ei_400k.json").read_text())

    found = layer_candidates(coherence, {int(layer): value for layer, value in entanglement.items()}, 3)

    expected = (GOLDEN / "recommend_layer.json").read_text()
    assert json.dumps(asdict(found), indent=1) == expected.strip()


def test_layers_near_the_peak_of_any_axis_are_candidates():
    """0.85 of the peak is near it: layers 2 and 3 of two axes, layer 0 of the third."""
    found = layer_candidates(axes(RISING, RISING, {0: 0.4, 1: 0.2, 2: 0.3, 3: 0.2}), {}, 10)

    assert found.per_group_plateau == {"horizontal": (2, 3), "vertical": (2, 3), "distance": (0,)}
    assert found.candidate_range == (0, 2, 3)
    assert found.cutoff_layer == 9
    assert found.criteria_applied == ("candidate_range", "not_late")


def test_the_best_layer_is_good_for_the_axis_it_serves_least():
    """Least shares of the peak: 0.1 in layer 0, 0.75 in layer 2, 0.5 in layer 3."""
    found = layer_candidates(axes(RISING, RISING, {0: 0.4, 1: 0.2, 2: 0.3, 3: 0.2}), {}, 10)

    assert found.top_k == (2, 3, 0)
    assert found.recommended == 2


def test_a_tie_goes_to_the_deeper_layer_and_the_list_is_short():
    """Four layers are equal; the three deepest are listed, or as many as asked for."""
    flat = dict.fromkeys(range(4), 0.5)

    assert layer_candidates(axes(flat, flat, flat), {}, 4).top_k == (3, 2, 1)
    assert layer_candidates(axes(flat, flat, flat), {}, 4, top=1).top_k == (3,)


def test_the_last_layers_are_left_out_of_the_range_but_not_of_the_plateau():
    """Of 10 layers those up to round(9.3) = 9 count; of 36 those up to 33."""
    late = {32: 0.9, 33: 0.9, 34: 1.0, 35: 0.2}

    found = layer_candidates(axes(late, late, late), {}, 36)

    assert found.cutoff_layer == 33
    assert found.per_group_plateau["vertical"] == (32, 33, 34)
    assert found.candidate_range == (32, 33)


def test_an_axis_without_a_positive_peak_is_skipped_with_a_warning():
    """One axis has no data (NaN), one is negative throughout: the third decides alone."""
    found = layer_candidates(axes({0: nan, 1: nan}, {0: -0.1, 1: -0.2}, {0: 0.1, 1: 0.4}), {}, 5)

    assert found.candidate_range == (1,)
    assert found.warnings == (
        "horizontal: no coherence, axis skipped",
        "vertical: peak coherence is not positive, axis skipped",
    )


def test_without_candidates_nothing_is_recommended():
    """All axes peak in the last layer of 36: the warning says so."""
    last = {0: 0.1, 35: 0.9}

    found = layer_candidates(axes(last, last, last), {}, 36)

    assert (found.candidate_range, found.top_k, found.recommended, found.criteria_applied) == (
        (),
        (),
        None,
        (),
    )
    assert found.warnings == ("no candidate: every layer near a peak comes after layer 33",)


def test_an_unknown_number_of_layers_applies_no_cutoff():
    """Every layer may be recommended then, and a warning says it."""
    found = layer_candidates(axes(RISING, RISING, RISING), {}, None)

    assert found.candidate_range == (2, 3)
    assert found.cutoff_layer is None
    assert found.criteria_applied == ("candidate_range",)
    assert found.warnings == ("number of layers unknown: late layers were not left out",)


def test_entanglement_is_stable_where_it_varies_no_more_than_around_the_median_layer():
    """A jump after layer 7 of 16 reaches three layers either way; the flat rest is stable, NaN is not."""
    entanglement = {layer: float(layer > 7) for layer in range(16)} | {16: nan}

    found = layer_candidates(axes({}, {}, {}), entanglement, 17)

    assert found.vd_more_stable_than_median == (0, 1, 2, 3, 4, 11, 12, 13, 14, 15)


@given(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=30), st.floats(0.1, 10.0))
def test_the_range_does_not_depend_on_the_unit_of_coherence(values, factor):
    """Doubling an axis's coherence everywhere moves nothing, apart from ties that rounding breaks."""
    peak = max(values)
    if min(abs(value - 0.85 * peak) for value in values) < 1e-9:
        return
    curve = dict(enumerate(values))
    scaled = {layer: factor * value for layer, value in curve.items()}

    first, second = (layer_candidates(axes(c, c, c), {}, 40) for c in (curve, scaled))

    assert first.candidate_range == second.candidate_range
    assert np.argmax(values) in first.per_group_plateau["distance"]


def test_counts_below_one_are_refused():
    """A list of no layers and a model without layers make no sense."""
    with pytest.raises(ValueError, match="at least 1, got 0 and 10"):
        layer_candidates({}, {}, 10, top=0)


def test_a_peak_has_no_interval():
    """Refutes: that of its layer does not know that the highest was looked for; over 36 layers it covers 42 to 87 %."""
    metrics = [
        Metric(
            "axis_coherence", 1, "all", "vertical", layer, value, None, 80, value - 0.1, value + 0.1, seed=0
        )
        for layer, value in enumerate((0.2, 0.5, 0.4))
    ]
    peak, where = peaks(metrics)
    assert (peak.value, where.value, peak.n) == (0.5, 1.0, 80)
    assert (peak.ci_low, peak.ci_high, peak.seed, peak.method) == (None, None, None, "not-covering")
    assert "highest value was looked for" in peak.reason
