"""States and deltas on their principal components."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from vlmprobe.errors import UsageError
from vlmprobe.figures import pca_3d, pca_panels
from vlmprobe.pairs.axes import SPACE

CATEGORIES = ("left", "right", "above", "below", "far", "close")


def groups(panel):
    """Return the colour and the points of each scatter of a panel."""
    found = [artist for artist in panel.collections if isinstance(artist, PathCollection)]
    return [
        (
            to_hex([*artist.get_facecolor(), *artist.get_edgecolor()][0]),
            np.asarray(artist.get_offsets()).tolist(),
        )
        for artist in found
    ]


def test_three_panels_of_one_layer(cloud):
    """States by category, deltas by axis and by category; colours as everywhere, points as handed in."""
    figure = pca_panels(cloud(CATEGORIES), cloud(CATEGORIES))

    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles == ["states by category", "deltas by axis", "deltas by category"]
    by_axis, by_category = groups(figure.axes[1]), groups(figure.axes[2])
    assert [color for color, _ in by_axis] == [axis.color.lower() for axis in SPACE for _ in range(2)]
    assert [color for color, _ in by_category] == [each.color.lower() for each in SPACE.categories]
    assert [points for _, points in by_category] == [[[float(n), 10.0 * n]] for n in range(6)]


def test_axis_labels_hold_the_explained_variance(cloud):
    """A half and a quarter; where it is unknown the component stands alone."""
    panel = pca_panels(cloud(CATEGORIES), cloud(CATEGORIES)).axes[0]
    space = pca_3d(cloud(CATEGORIES)).axes[0]

    assert (panel.get_xlabel(), panel.get_ylabel()) == ("PC1 (50.0 %)", "PC2 (25.0 %)")
    assert (space.get_xlabel(), space.get_zlabel()) == ("PC1 (50.0 %)", "PC3")


def test_states_of_swapped_questions_are_hollow(cloud):
    """A filled mark for the original question, a hollow one for the swapped."""
    states = cloud(("left", "left"), components=2, sides=("orig", "swap"))
    panel = pca_panels(states, cloud(("left",), components=2)).axes[0]

    filled = [len(a.get_facecolor()) > 0 for a in panel.collections if isinstance(a, PathCollection)]
    assert filled == [True, False]


def test_too_few_pairs_say_so(cloud):
    """Points that are NaN leave three panels with the words "no data"."""
    nothing = dataclasses.replace(cloud(("left", "far")), points=np.full((2, 3), math.nan))
    figure = pca_panels(nothing, nothing)

    assert [[text.get_text() for text in panel.texts] for panel in figure.axes] == [["no data"]] * 3


def test_scales_can_be_compared_in_space(cloud, badly_set_text):
    """One panel a cloud, and every label can be read."""
    scales = ("vanilla", "80k", "400k", "800k", "2m")
    figure = pca_3d([cloud(CATEGORIES, scale=scale, layer=35) for scale in scales])

    assert [len(panel.collections) for panel in figure.axes] == [6, 6, 6, 6, 6, 0]
    assert badly_set_text(figure) == []


def test_no_text_is_cut_off_or_covered(cloud, badly_set_text):
    """One layer on a plane and in space."""
    states = cloud(CATEGORIES * 2, sides=("orig",) * 6 + ("swap",) * 6)

    assert badly_set_text(pca_panels(states, cloud(CATEGORIES))) == []
    assert badly_set_text(pca_3d(cloud(CATEGORIES))) == []


def test_clouds_that_do_not_fit_are_refused(cloud):
    """Two components in space, a label too few, another layer, or a name that is none."""
    with pytest.raises(
        UsageError, match=r"tiny @ 80k, layer 4 has points of shape \(1, 2\).*project onto 3 components"
    ):
        pca_3d(cloud(("left",), components=2))
    with pytest.raises(UsageError, match="2 points of tiny @ 80k, layer 4 with 1 labels and 0 sides"):
        pca_3d(dataclasses.replace(cloud(("left", "far")), labels=("left",)))
    with pytest.raises(
        UsageError, match="states of tiny @ 80k, layer 4 do not match deltas of tiny @ 80k, layer 5"
    ):
        pca_panels(cloud(("left",)), cloud(("left",), layer=5))
    with pytest.raises(UsageError, match="unknown category 'up'"):
        pca_3d(cloud(("up",)))
    with pytest.raises(UsageError, match="no points to draw"):
        pca_3d([])
