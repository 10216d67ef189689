"""Jobs for the figures of the gallery: the ``plots/`` folder of a family, and the report's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis import PointCloud, Projection, project_deltas, project_states
from vlmprobe.analysis.side_by_side import side_by_side
from vlmprobe.figures import Job, draw_all
from vlmprobe.pairs import Subset
from vlmprobe.reports import ReportFigure
from vlmprobe.study.gallery import EXHIBITS, VARIANTS, Clouds, View

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vlmprobe.store.arrays import RunArrays
    from vlmprobe.store.runs import Run
    from vlmprobe.study.gallery import InReport
    from vlmprobe.study.study import Study
    from vlmprobe.workspace import Console

__all__ = ["PlotOptions", "draw_report", "plan_plots", "project_layers"]

_COMPONENTS = 3
#: Memory for projecting a layer, in copies of its states.
_COPIES = 5


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """How figures are drawn."""

    file_format: str = "png"
    dpi: float = 110
    variants: tuple[str, ...] = tuple(VARIANTS)
    free_y: bool = False


def plan_plots(
    study: Study,
    arrays: Mapping[str, RunArrays],
    layers: Mapping[str, Sequence[int]],
    folder: Path,
    options: PlotOptions,
) -> list[Job]:
    """List every figure of the runs of one family, under ``folder``; one without a number to show is left out.

    Args:
        study: the runs and their results.
        arrays: per run id its hidden states, for the projections.
        layers: per run id the layers that get a heatmap and projections.
        folder: the ``plots`` folder.
        options: format, resolution, variants, and whether each scale has a y range of its own.
    """
    clouds = {
        run.scale: project_layers(run, layers[run.run_id], arrays[run.run_id], options.variants)
        for run in study.runs
    }
    jobs: list[Job] = []

    def plan(view: View, **places: str) -> None:
        for exhibit in EXHIBITS:
            if exhibit.places == places.keys() and (arguments := exhibit.arguments(view)):
                path = folder / f"{exhibit.file.format(**places)}.{options.file_format}"
                jobs.append(Job(exhibit.function, arguments, path, options.file_format, options.dpi))

    plan(View(study))
    for variant in options.variants:
        view = View(study, variant, free_y=options.free_y)
        plan(view, variant=variant)
        for run in study.runs:
            plan(replace(view, run=run), variant=variant, scale=run.scale)
            for layer, of_layer in clouds[run.scale].items():
                one = replace(view, run=run, layer=layer, clouds=of_layer)
                plan(one, variant=variant, scale=run.scale, layer=str(layer))
    return jobs


def project_layers(
    run: Run, layers: Sequence[int], arrays: RunArrays, variants: Sequence[str]
) -> dict[int, dict[Subset, Clouds]]:
    """Project the states and deltas of some layers, which are read once for all subsets of the variants."""
    subsets = list(dict.fromkeys(VARIANTS[name][0] for name in variants))

    def project(layer: int) -> dict[Subset, Clouds]:
        states = arrays.layer(layer)
        found = {}
        for subset in subsets:
            inside = np.ones_like(arrays.both_correct) if subset is Subset.ALL else arrays.both_correct
            categories = [name for name, keep in zip(arrays.categories, inside, strict=True) if keep]
            mine = states if subset is Subset.ALL else states[inside]
            found[subset] = Clouds(
                *(
                    _cloud(
                        run,
                        layer,
                        subset,
                        project(mine[:, 0], mine[:, 1], categories, _COMPONENTS, arrays.axis_set),
                    )
                    for project in (project_states, project_deltas)
                )
            )
        return found

    found = side_by_side(project, layers, bytes_each=arrays.layer_bytes * _COPIES)
    return dict(zip(layers, found, strict=True))


def _cloud(run: Run, layer: int, subset: Subset, projection: Projection) -> PointCloud:
    where = run.family, run.scale, layer, str(subset)
    return PointCloud(
        *where, projection.points, projection.categories, projection.explained, projection.sides
    )


def draw_report(
    whole: Study, families: Sequence[Study], folder: Path, console: Console
) -> list[ReportFigure]:
    """Draw every figure of the report into ``folder``: of answers over all runs, then the rest, a section a family.

    Args:
        whole: all runs.
        families: the same runs, a study a family.
        folder: where the files go.
        console: shows the progress.
    """
    sections = [("", whole, False)] + [(study.runs[0].family, study, True) for study in families]
    jobs: list[Job] = []
    figures: list[tuple[InReport, str, str]] = []
    for family, study, of_family in sections:
        # One family needs no heading, and its files no prefix.
        heading, prefix = (family, f"{family}_") if of_family and len(families) > 1 else ("", "")
        for exhibit in EXHIBITS:
            for shown in exhibit.report if bool(exhibit.places) is of_family else ():
                if arguments := exhibit.arguments(View(study, shown.variant)):
                    name = f"{prefix}{shown.name}"
                    jobs.append(Job(exhibit.function, arguments, folder / f"{name}.png"))
                    figures.append((shown, name, heading))
    with console.track("figures", len(jobs)) as advance:
        paths = draw_all(jobs, progress=advance)
    return [
        ReportFigure(name, shown.title, shown.caption, path.read_bytes(), heading)
        for path, (shown, name, heading) in zip(paths, figures, strict=True)
    ]
