"""A figure as bytes: the same figure gives the same bytes, today and tomorrow."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["to_png", "to_svg"]


def to_png(figure: Figure, dpi: float = 110) -> bytes:
    """Render a figure as PNG, ``dpi`` dots an inch, on white, with no date or program name inside."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Render a figure as SVG on white, text as outlines, with no date inside and ids that stay the same."""
    from matplotlib import rc_context

    buffer = BytesIO()
    # The only way to fix the ids; restored on leaving.
    with rc_context({"svg.hashsalt": "vlmprobe", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
