"""Several layouts of the same vectors, which one pass over them serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vlmprobe.analysis.deltas import FloatArray
    from vlmprobe.analysis.geometry.layout import Layout

__all__ = ["View"]


class View:
    """One layout's groups and cells, in the order of the first layout, in which the vectors are held."""

    def __init__(self, layout: Layout, first: Layout) -> None:
        """Find out which sums the first layout already has.

        Args:
            layout: of the same vectors and images as the first.
            first: the first.
        """
        self.layout = layout
        self.groups = layout.groups[first.order]
        cell_of = np.empty_like(layout.cell_of)
        cell_of[layout.order] = layout.cell_of
        #: (N,) cells of the vectors, image after image; and the order in which they are cell after cell.
        self.cells = cell_of[first.order]
        self.by_cell = np.argsort(self.cells, kind="stable")
        shared = np.zeros((layout.n_groups, first.n_groups))
        if layout is not first:
            shared[layout.groups, first.groups] = 1.0
        divided = shared.sum(axis=0) > 1
        #: Numbers of the groups that are to be summed, and (T, T') which groups of the first the others hold.
        self.own = np.flatnonzero(shared[:, divided].any(axis=1) | (layout is first))
        shared[self.own] = 0.0
        self.whole: FloatArray = shared
