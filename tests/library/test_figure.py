"""A figure of the gallery by its name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import UsageError
from vlmprobe.study.gallery import EXHIBITS
from vlmprobe.study.one_figure import find_exhibit

if TYPE_CHECKING:
    from vlmprobe import Workspace


@pytest.mark.parametrize(
    ("name", "places", "titled"),
    [
        ("axis_coherence", {"scale": "2m"}, "tiny @ 2m"),
        ("heatmap", {"scale": "2m", "layer": 5}, "tiny @ 2m, layer 5"),
    ],
)
def test_a_figure_is_drawn(name: str, places: dict[str, Any], titled: str, workspace: Workspace) -> None:
    """Of one scale, or of one layer of it (docs/python.md draws others); pyplot does not know of it."""
    figure = workspace.figure(name, **places)
    assert figure.axes[0].get_title(loc="left") == titled
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_every_figure_has_a_name_of_its_own() -> None:
    """Together with what it is drawn of."""
    keys = [(exhibit.name, *sorted(exhibit.places - {"variant"})) for exhibit in EXHIBITS]
    assert len(set(keys)) == len(keys)
    for exhibit in EXHIBITS:
        assert find_exhibit(exhibit.name, exhibit.places - {"variant"}) is exhibit


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            {"name": "coherence"},
            "unknown figure 'coherence'; known: accuracy_bars, .*axis_coherence, .*pca_3d",
        ),
        ({"name": "pca"}, "figure pca takes scale and layer"),
        ({"name": "axis_coherence", "layer": 5}, "figure axis_coherence takes neither .*, or scale alone"),
        ({"name": "axis_coherence", "scale": "3m"}, "unknown scale '3m'; known: vanilla, 2m"),
        (
            {"name": "axis_coherence", "variant": "right"},
            "unknown variant 'right'; known: all, both_correct, ",
        ),
        ({"name": "pca", "scale": "2m", "layer": 99}, r"tiny @ 2m has no layer 99; it has \[0, "),
        ({"name": "alignment"}, "figure alignment has not one number to show for tiny @ vanilla, tiny @ 2m"),
        ({"name": "axis_coherence", "family": "tinny"}, "no complete run matches; existing runs: tiny @ 2m"),
    ],
)
def test_what_cannot_be_drawn_says_why(arguments: dict[str, Any], says: str, workspace: Workspace) -> None:
    """And lists what can."""
    with pytest.raises(UsageError, match=says):
        workspace.figure(**arguments)
