"""Similarity of the categories' mean deltas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from vlmprobe.analysis.results import SimilarityMatrix
from vlmprobe.errors import UsageError
from vlmprobe.figures import similarity_heatmap


def matrix(scale: str = "2m", cosine: float = -0.5, *, without: int | None = None) -> SimilarityMatrix:
    """Return 1 on the diagonal, ``cosine`` elsewhere, NaN in the row and column ``without``."""
    values = np.full((6, 6), cosine)
    np.fill_diagonal(values, 1.0)
    if without is not None:
        values[without, :] = values[:, without] = math.nan
    return SimilarityMatrix("tiny", scale, 4, "all", tuple(map(tuple, values.tolist())))


def cells(panel):
    """Return the numbers written into a panel."""
    return [text.get_text() for text in panel.texts]


def test_every_cell_carries_its_number_on_a_fixed_colour_range():
    """Colours mean the same in every figure: they run from -1 to 1, whatever the data."""
    figure = similarity_heatmap(matrix(cosine=-0.25))

    panel = figure.axes[0]
    mesh = next(artist for artist in panel.collections if isinstance(artist, QuadMesh))
    assert mesh.get_clim() == (-1.0, 1.0)
    assert cells(panel)[:3] == ["1.00", "\N{MINUS SIGN}0.25", "\N{MINUS SIGN}0.25"]
    assert len(cells(panel)) == 36
    assert panel.get_title(loc="left") == "tiny @ 2m, layer 4"


def test_a_cell_that_rounds_to_zero_has_no_sign():
    """-0.001 reads 0.00."""
    assert cells(similarity_heatmap(matrix(cosine=-0.001)).axes[0])[1] == "0.00"


def test_a_cell_without_data_is_hatched_and_has_no_number():
    """A category without pairs leaves 11 hatched cells and 25 numbers."""
    panel = similarity_heatmap(matrix(without=5)).axes[0]

    assert len(cells(panel)) == 25
    assert [patch.get_hatch() for patch in panel.patches].count("////") == 11


def test_first_row_is_left_at_the_top():
    """Rows run downwards in the order of the categories, as a table does."""
    panel = similarity_heatmap(matrix()).axes[0]

    assert panel.get_ylim() == (6, 0)
    assert [label.get_text() for label in panel.get_yticklabels()][:2] == ["left", "right"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_scales_are_small_multiples_that_can_be_read(count, badly_set_text):
    """One panel a matrix, one colour bar for all, no number outside or over another."""
    figure = similarity_heatmap([matrix(scale) for scale in ("vanilla", "80k", "400k", "800k", "2m")[:count]])

    assert len([panel for panel in figure.axes if panel.texts]) == count
    assert badly_set_text(figure) == []


def test_a_matrix_of_another_shape_is_refused():
    """5 x 6 is somebody's mistake, not a figure."""
    short = SimilarityMatrix("tiny", "2m", 4, "all", matrix().values[:5])
    with pytest.raises(UsageError, match=r"matrix of tiny @ 2m, layer 4 .* not 6 x 6"):
        similarity_heatmap(short)


def test_no_matrix_is_an_error():
    """An empty figure would look like a result."""
    with pytest.raises(UsageError, match="no matrix to draw"):
        similarity_heatmap([])
