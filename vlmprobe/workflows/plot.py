"""Plot: redraws any figure from the database and the stored arrays, without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import unknown_name
from vlmprobe.figures import FORMATS, draw_all
from vlmprobe.pairs import PUBLISHED
from vlmprobe.store.arrays import RunArrays
from vlmprobe.store.engine import Database
from vlmprobe.store.migrate import require_schema
from vlmprobe.store.tracking import Tracker
from vlmprobe.study.gallery import VARIANTS, PlotOptions, plan_plots
from vlmprobe.study.selection import choose_layers, dataset_of, find_runs, newest_of_each_scale, of_template
from vlmprobe.study.study import Study

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.settings import Settings
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Console

__all__ = ["PlotOptions", "draw_plots", "plot", "plots_folder"]


def plot(
    settings: Settings,
    console: Console,
    *,
    families: Sequence[str] = (),
    scales: Sequence[str] = (),
    data: Path | None = None,
    max_per_category: int = 200,
    template: str = PUBLISHED.name,
    layers: Sequence[int] | None = None,
    all_layers: bool = False,
    out: Path | None = None,
    options: PlotOptions | None = None,
) -> list[Path]:
    """Draw every figure of the newest analyzed run of each scale; return the files, a folder a family.

    Those of another template than the published one are in ``plots-TEMPLATE`` unless ``out`` says where.

    Raises:
        UsageError: no run matches, several datasets do, a scale has no metrics or a run no such layer, or an
            option is wrong.
    """
    options = options or PlotOptions()
    if options.file_format not in FORMATS:
        raise unknown_name("format", options.file_format, list(FORMATS))
    for variant in options.variants:
        if variant not in VARIANTS:
            raise unknown_name("variant", variant, list(VARIANTS))
    database = Database(settings.database_path, tell=console.warn)
    require_schema(database)
    dataset_id = dataset_of(database, data, max_per_category)
    everything = find_runs(database, families=families, scales=scales, dataset_id=dataset_id)
    found, others = of_template(everything, template)
    for line in others:
        console.say(line)
    runs, notes = newest_of_each_scale(database, found)
    for line in notes:
        console.say(line)
    folder = out or plots_folder(settings, template)
    return draw_plots(
        settings, database, console, runs, folder, layers=layers, all_layers=all_layers, options=options
    )


def plots_folder(settings: Settings, template: str) -> Path:
    """Return where the figures of a template go: those of two must not replace each other."""
    return settings.home / ("plots" if template == PUBLISHED.name else f"plots-{template}")


def draw_plots(
    settings: Settings,
    database: Database,
    console: Console,
    runs: Sequence[Run],
    folder: Path,
    *,
    layers: Sequence[int] | None = None,
    all_layers: bool = False,
    options: PlotOptions | None = None,
) -> list[Path]:
    """Draw every figure of these runs into ``folder/{family}/plots``, in parallel processes.

    Raises:
        UsageError: a run has not a layer asked for.
    """
    tracker = Tracker(settings)
    jobs = []
    for family in dict.fromkeys(run.family for run in runs):
        mine = [run for run in runs if run.family == family]
        study = Study(database, mine)
        arrays = {
            run.run_id: RunArrays(database, tracker, run.run_id, settings.home / "cache") for run in mine
        }
        chosen = {
            run.run_id: choose_layers(run, arrays[run.run_id], layers, all_layers=all_layers) for run in mine
        }
        jobs += plan_plots(study, arrays, chosen, folder / family / "plots", options or PlotOptions())
    with console.track("plots", len(jobs)) as advance:
        return draw_all(jobs, progress=advance)
