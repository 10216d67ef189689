"""Plot: redraws any figure from the database and the stored arrays, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name
from vlmprobe.figures import FORMATS, draw_all
from vlmprobe.pairs import PUBLISHED
from vlmprobe.study.drawing import PlotOptions, plan_plots
from vlmprobe.study.gallery import VARIANTS
from vlmprobe.study.selection import LayerChoice, Selection, choose_layers
from vlmprobe.study.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["PlotOptions", "draw_plots", "plot", "plots_folder"]


def plot(
    workspace: Workspace,
    selection: Selection | None = None,
    *,
    template: str = PUBLISHED.name,
    layers: LayerChoice = None,
    out: Path | None = None,
    options: PlotOptions | None = None,
) -> list[Path]:
    """Draw every figure of the newest analyzed run of each scale; return the files, one folder per family.

    Figures of any template but the published one go to ``plots-TEMPLATE``, unless ``out`` is given.

    Raises:
        UsageError: no run matches, several datasets do, a scale has no metrics or a run no such layer, or an
            option is wrong.
        ReadOnlyError: the folder for the figures cannot be written.
    """
    options = options or PlotOptions()
    if options.file_format not in FORMATS:
        raise unknown_name("format", options.file_format, list(FORMATS))
    for variant in options.variants:
        if variant not in VARIANTS:
            raise unknown_name("variant", variant, list(VARIANTS))
    workspace.require_output(out)
    runs = (selection or Selection()).newest(workspace, template).runs
    folder = out or plots_folder(workspace.settings, template)
    return draw_plots(workspace, runs, folder, layers=layers, options=options)


def plots_folder(settings: Settings, template: str) -> Path:
    """Return the folder for a template's figures; each template has its own."""
    return settings.home / ("plots" if template == PUBLISHED.name else f"plots-{template}")


def draw_plots(
    workspace: Workspace,
    runs: Sequence[Run],
    folder: Path,
    *,
    layers: LayerChoice = None,
    options: PlotOptions | None = None,
) -> list[Path]:
    """Draw every figure of these runs into ``folder/{family}/plots``, in parallel processes.

    Raises:
        UsageError: a run lacks a requested layer.
    """
    jobs = []
    for family in dict.fromkeys(run.family for run in runs):
        mine = [run for run in runs if run.family == family]
        study = Study(workspace.database, mine)
        arrays = {run.run_id: workspace.arrays(run) for run in mine}
        chosen = {run.run_id: choose_layers(run, arrays[run.run_id], layers) for run in mine}
        jobs += plan_plots(study, arrays, chosen, folder / family / "plots", options or PlotOptions())
    with workspace.console.track("plots", len(jobs)) as advance:
        return draw_all(jobs, progress=advance)
