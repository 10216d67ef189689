"""Draws one figure of the gallery, chosen by its name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import PCA
from vlmprobe.errors import UsageError, unknown_name
from vlmprobe.study.drawing import project_layers
from vlmprobe.study.gallery import EXHIBITS, VARIANTS, View
from vlmprobe.study.selection import choose_layers
from vlmprobe.study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vlmprobe.store.runs import Run
    from vlmprobe.study.gallery import Exhibit
    from vlmprobe.study.selection import Selection
    from vlmprobe.workspace import Workspace

__all__ = ["draw_figure", "find_exhibit"]

#: What of a run a figure is drawn of, besides the variant -> the arguments that say so.
_WAYS = {
    frozenset[str](): "neither scale nor layer",
    frozenset({"scale"}): "scale alone",
    frozenset({"scale", "layer"}): "scale and layer",
}


def draw_figure(
    workspace: Workspace,
    name: str,
    selection: Selection,
    *,
    template: str,
    variant: str = "all",
    scale: str | None = None,
    layer: int | None = None,
) -> Figure:
    """Draw one figure of the newest analyzed run of each scale.

    Args:
        workspace: where the runs are.
        name: of the figure, see :attr:`vlmprobe.study.gallery.Exhibit.name`.
        selection: the runs to compare, of one family; those of answers may be of several.
        template: only runs under this question template.
        variant: a name in ``VARIANTS``; figures of answers have none.
        scale: draw the figure of this scale, instead of the one across scales.
        layer: the layer, for figures of one layer of a scale.

    Raises:
        UsageError: a name is unknown, the figure is drawn of something else, or there is not one number to show. The
            message lists what there is.
    """
    places = {place for place, given in (("scale", scale), ("layer", layer)) if given is not None}
    exhibit = find_exhibit(name, places)
    if variant not in VARIANTS:
        raise unknown_name("variant", variant, list(VARIANTS))
    runs = selection.newest(workspace, template).runs
    families = list(dict.fromkeys(run.family for run in runs))
    if exhibit.places and len(families) > 1:
        raise UsageError(f"figure {name} is drawn of one family; choose one of {', '.join(families)}")
    view = View(Study(workspace.database, runs), variant)
    if scale is not None:
        view = _of_scale(workspace, exhibit, view, _run_of(runs, scale), layer)
    arguments = exhibit.arguments(view)
    if not arguments:
        raise UsageError(
            f"figure {name} has not one number to show for {', '.join(run.name for run in runs)} ({variant})"
        )
    return exhibit.function(**arguments)


def find_exhibit(name: str, places: set[str]) -> Exhibit:
    """Return the figure of a name that is drawn of a ``scale``, of a ``layer`` of it, or across scales.

    Raises:
        UsageError: there is none of that name, or it is drawn of something else.
    """
    named = [exhibit for exhibit in EXHIBITS if exhibit.name == name]
    if not named:
        raise unknown_name("figure", name, list(dict.fromkeys(exhibit.name for exhibit in EXHIBITS)))
    for exhibit in named:
        if exhibit.places - {"variant"} == places:
            return exhibit
    ways = ", or ".join(_WAYS[frozenset(exhibit.places - {"variant"})] for exhibit in named)
    raise UsageError(f"figure {name} takes {ways}")


def _run_of(runs: tuple[Run, ...], scale: str) -> Run:
    found = next((run for run in runs if run.scale == scale), None)
    if found is None:
        raise unknown_name("scale", scale, [run.scale for run in runs])
    return found


def _of_scale(workspace: Workspace, exhibit: Exhibit, view: View, run: Run, layer: int | None) -> View:
    """Narrow a view to one run, or to one layer of it with what the figure needs of its states."""
    if layer is None:
        return replace(view, run=run)
    arrays = workspace.arrays(run)
    choose_layers(run, arrays, [layer])
    clouds = project_layers(run, [layer], arrays, [view.variant])[layer] if PCA in exhibit.shows else {}
    return replace(view, run=run, layer=layer, clouds=clouds)
