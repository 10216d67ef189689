"""The class of all figures: matplotlib's own, which a notebook also shows without pyplot."""

from __future__ import annotations

from matplotlib.figure import Figure

from vlmprobe.figures.encode import to_png

__all__ = ["ShownFigure"]


class ShownFigure(Figure):
    """A figure that pyplot does not know, so nothing has to close it; a cell that ends with it shows it."""

    def _repr_png_(self) -> bytes:
        return to_png(self)
