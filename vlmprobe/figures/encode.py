"""Encodes figures as bytes; the same figure always yields the same bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "encode", "to_pdf", "to_png", "to_svg"]

#: Formats that a figure can be written in; also the file extensions.
FORMATS = ("png", "pdf", "svg")

#: Level for PNG; level 9 takes twice the time to save a twentieth of the size.
_COMPRESSION = 3


def to_png(figure: Figure, dpi: float = 110) -> bytes:
    """Render a figure as PNG, ``dpi`` dots an inch, on white, with no date or program name inside."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    buffer = BytesIO()
    before = figure.canvas, figure.dpi, figure.get_facecolor()
    try:
        canvas = FigureCanvasAgg(figure)
        figure.set(dpi=dpi, facecolor="white")
        # Not savefig, which draws a figure with a layout engine twice, once only for the layout.
        canvas.draw()  # type: ignore[no-untyped-call]
        # On white, alpha is not needed. Without it, the file is smaller even at a lower compression level.
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        image = Image.fromarray(pixels).convert("RGB")
        image.save(buffer, "PNG", compress_level=_COMPRESSION, dpi=(dpi, dpi))
    finally:
        figure.set(canvas=before[0], dpi=before[1], facecolor=before[2])
    return buffer.getvalue()


def to_svg(figure: Figure) -> bytes:
    """Render a figure as SVG on white, text as outlines, with no date inside and ids that stay the same."""
    from matplotlib import rc_context

    buffer = BytesIO()
    # The only way to fix the ids; restored on leaving.
    with rc_context({"svg.hashsalt": "vlmprobe", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def to_pdf(figure: Figure) -> bytes:
    """Render a figure as PDF on white, text as embedded TrueType that stays text, with no date or program name."""
    from matplotlib import rc_context

    buffer = BytesIO()
    nothing = {"CreationDate": None, "Creator": None, "Producer": None}
    # Journals reject the default, Type 3.
    with rc_context({"pdf.fonttype": 42}):
        figure.savefig(buffer, format="pdf", facecolor="white", metadata=nothing)
    return buffer.getvalue()


def encode(figure: Figure, file_format: str, *, dpi: float = 110) -> bytes:
    """Render a figure in one of ``FORMATS``; ``dpi`` is for PNG only.

    Raises:
        UsageError: another format.
    """
    if file_format == "png":
        return to_png(figure, dpi)
    if file_format == "pdf":
        return to_pdf(figure)
    if file_format == "svg":
        return to_svg(figure)
    raise unknown_name("figure format", file_format, list(FORMATS))
