"""What the catalog says of a metric: its name, version, title, labels, targets, control and figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from vlmprobe.pairs.axes import Subset

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmprobe.pairs.axes import AxisSet

__all__ = ["Control", "Curves", "Entry", "Interval", "fixed"]

#: Which targets a metric has for the axes of a dataset.
Targets: TypeAlias = "Callable[[AxisSet], tuple[str, ...]]"


def fixed(_axes: AxisSet, *, targets: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return targets that do not depend on the axes."""
    return targets


class Interval(Enum):
    """How a metric's 95 % interval is computed; the values are stored with it."""

    JACKKNIFE = "jackknife"
    SPLIT_HALVES = "split halves"
    """Jackknife of the mean of two readings, each at the layer that the other half of the images chose."""
    SIMULTANEOUS = "simultaneous"
    """Of a highest value: it holds for all layers at once."""
    NOT_COVERING = "not-covering"
    """None: an interval around a biased value need not cover."""


@dataclass(frozen=True, slots=True)
class Control:
    """Targets to compare a metric with; an effect that they show too is not a finding."""

    targets: Targets
    label: str
    """The text in a legend, or above the control's own panel."""
    is_band: bool = False
    """Whether it is a null, drawn as a band behind the curves; other controls get their own panels."""


@dataclass(frozen=True, slots=True)
class Curves:
    """A metric's figures over layers in the gallery: one across scales and one per scale."""

    caption: str = ""
    """Caption of the figure in the report; empty = the figure appears only among the plots."""
    heading: str = ""
    """Heading of the figure in the report; empty = the metric's title and "over layers"."""
    stem: str = ""
    """Stem of the file names; empty = the metric's name, with _ for each dot."""
    targets: tuple[str, ...] = ()
    """Targets to draw besides the control; empty = all. Across scales, a band goes with the first only."""
    subsets: tuple[Subset, ...] = (Subset.ALL,)
    """Subsets that have a figure in the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How one metric, or one result other than a number, is stored and shown."""

    name: str
    version: int = 1
    """Raised when the definition changes, so that old and new values stay distinguishable."""
    title: str
    """The title of a figure."""
    label: str = ""
    """The label of the y axis."""
    targets: Targets = fixed
    legend: str = "target"
    """What a target is: the title of the legend."""
    per_layer: bool = True
    is_number: bool = True
    """Whether it is stored in ``metrics``; otherwise in ``results_json``."""
    is_logarithmic: bool = False
    """Whether its axis is logarithmic where the values grow by orders of magnitude."""
    interval: Interval = Interval.JACKKNIFE
    """Of a metric of layers that has intervals."""
    one_vector_an_image: bool = False
    """Whether that interval covers only where no image has several vectors of the target."""
    plug_ins: tuple[str, ...] = ()
    """Targets, or first parts of targets, whose interval need not cover."""
    control: Control | None = None
    curves: Curves | None = None
    """None = the gallery declares its figures, unless ``no_figure`` says why there are none."""
    no_figure: str = ""

    def interval_of(self, target: str, n: int, n_images: int) -> Interval:
        """Return the kind of interval of one target, of n vectors from so many images."""
        is_plug_in = target.partition("/")[0] in self.plug_ins
        if is_plug_in or (self.one_vector_an_image and n > n_images):
            return Interval.NOT_COVERING
        return self.interval
