"""The published tables: what was printed, and nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from vlmprobe.analysis.catalog import ACCURACIES, AXIS_COHERENCE, VD_EI_EQ3
from vlmprobe.errors import InputError
from vlmprobe.interop import PublishedValue, read_published
from vlmprobe.interop.published import PUBLISHED_LAYERS

VALUES = read_published()
HEAD = "family,scale,model,benchmark,metric,split,value,unit,n"


def test_these_are_the_tables():
    """Seventeen checkpoints; sixteen with geometry. Each cell once."""
    assert Counter(value.metric for value in VALUES) == {
        ACCURACIES["orig"].name: 68,
        AXIS_COHERENCE.name: 48,
        VD_EI_EQ3.name: 16,
        "p_truth": 51,
    }
    cells = {(v.family, v.scale, v.benchmark, v.metric, v.target, v.split) for v in VALUES}
    assert len(cells) == len(VALUES)
    assert {v.family for v in VALUES if v.metric == VD_EI_EQ3.name} == set(PUBLISHED_LAYERS)


def test_a_value_that_was_printed():
    """A percentage is a share here; the n is of that split, and unknown for geometry."""
    (found,) = [
        v for v in VALUES if (v.model, v.benchmark, v.split) == ("RoboRefer-2B", "CV-Bench-3D", "counter")
    ]
    assert found == PublishedValue(
        *("nvila", "roborefer", "RoboRefer-2B", "CV-Bench-3D"),
        *("accuracy.orig", "distance", "counter", 0.954, 65),
    )
    assert {v.n for v in VALUES if v.metric in {AXIS_COHERENCE.name, VD_EI_EQ3.name, "p_truth"}} == {None}
    assert all(-1 <= v.value <= 1 for v in VALUES)


@pytest.mark.parametrize("row", ["a,b,c,d,accuracy,all,x,percent,9", "a,b,c,d,accuracy,all,1,inches,9"])
def test_a_damaged_table_says_where(row):
    """The line, and what to use."""
    with pytest.raises(InputError, match=r"published.csv:3: value"):
        read_published(["# remark", HEAD, row])
    with pytest.raises(InputError, match="use the columns"):
        read_published([row])
