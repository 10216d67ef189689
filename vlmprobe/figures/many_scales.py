"""What figures of many scales do otherwise: colors along a bar in place of a legend, small panels, fewer labels.

Below ``FROM`` scales nothing here is used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from vlmprobe.figures import frame, theme

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from vlmprobe.figures.theme import Mark, Named

__all__ = ["FROM", "are_many", "color_bar", "family_handles", "label_of", "marks", "small_panels"]


class _OfScale(Protocol):
    @property
    def scale(self) -> str:
        """The checkpoint's name."""


#: Scales from which on a legend would take more room than the panels, and each panel of its own too much height.
FROM = 10
#: Labels along a color bar.
_LABELS = 7
#: Letters of a scale's name that fit beside the bar.
_LETTERS = 18


def are_many(items: Iterable[_OfScale]) -> bool:
    """Whether these are of so many scales, of whatever families, that no legend names each."""
    return len({item.scale for item in items}) >= FROM


def marks(items: Iterable[Named]) -> dict[tuple[str, str], Mark]:
    """Assign each (family, scale) its look: colors run along the ramp in the order of training, without a mark."""
    usual = theme.scale_marks(items)
    places = {scale: place for place, scale in enumerate(dict.fromkeys(scale for _, scale in usual))}
    last = max(1, len(places) - 1)
    return {
        key: theme.Mark(
            mark.label, theme.ramp_color(places[key[1]] / last), "None", mark.linestyle, places[key[1]]
        )
        for key, mark in usual.items()
    }


def label_of(item: Named) -> str:
    """Return a short name of a scale: its number of samples, or its name where that is not known."""
    if item.samples_seen is not None:
        return theme.short_number(item.samples_seen)
    return _cut(item.scale)


def color_bar(figure: Figure, panels: Sequence[Axes], items: Iterable[Named], looks: Iterable[Mark]) -> None:
    """Put a bar right of the panels that says which color is which scale, with a label for some.

    The labels are samples seen where all scales have them, else names.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    by_name = {item.scale: item for item in sorted(items, key=theme.scale_order)}
    colors = {look.index: look.color for look in looks}
    n = len(colors)
    by_samples = all(item.samples_seen is not None for item in by_name.values())
    named = list(by_name.values())
    at = [round(step * (n - 1) / (_LABELS - 1)) for step in range(_LABELS)]
    bar = figure.colorbar(
        ScalarMappable(Normalize(-0.5, n - 0.5), ListedColormap([colors[place] for place in sorted(colors)])),
        ax=list(panels),
        fraction=0.04,
        pad=0.02,
        aspect=28,
    )
    bar.set_ticks(
        at, labels=[label_of(named[place]) if by_samples else _cut(named[place].scale) for place in at]
    )
    bar.ax.tick_params(
        labelsize=theme.TICK_SIZE, labelfontfamily=theme.FONT, color=theme.FAINT, labelcolor=theme.INK
    )
    bar.outline.set_visible(False)
    what = "training samples seen" if by_samples else "scale, in the order of training"
    frame.label_y(bar.ax, f"{what} ({n} scales)")


def _cut(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"


def family_handles(items: Iterable[Named], looks: dict[tuple[str, str], Mark]) -> list[Artist]:
    """Return a legend entry for the line of each family, if there are several."""
    lines = {item.family: looks[item.family, item.scale].linestyle for item in items}
    if len(lines) < 2:
        return []
    return [
        frame.line_handle(family, color=theme.INK, linestyle=lines[family], linewidth=1.2)
        for family in sorted(lines)
    ]


def small_panels(n: int) -> tuple[int, int]:
    """Return the columns and rows of n small panels that together are about as wide as high."""
    columns = math.ceil(math.sqrt(n))
    return columns, math.ceil(n / columns)
