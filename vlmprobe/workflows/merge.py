"""Merge: compares the runs of a study in a report, a table and figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from vlmprobe.errors import TrackingError
from vlmprobe.pairs import PUBLISHED, is_under
from vlmprobe.reports import ChangeRow, Report, render_report, summary_rows, write_summary_csv
from vlmprobe.safe_names import file_part
from vlmprobe.settings import without_password
from vlmprobe.store.answers_of_runs import changes_in_sequence
from vlmprobe.store.queries import queries_of_report
from vlmprobe.study.controls import all_controls
from vlmprobe.study.drawing import draw_report
from vlmprobe.study.findings import findings_of
from vlmprobe.study.kept_robustness import all_robustness
from vlmprobe.study.matrix import scale_matrices
from vlmprobe.study.notes import notes_of
from vlmprobe.study.over_templates import over_templates
from vlmprobe.study.selection import Selection
from vlmprobe.study.study import Study
from vlmprobe.study.verdicts import verdicts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vlmprobe.analysis import AccuracyPoint, PeakPoint
    from vlmprobe.reports.findings import Findings
    from vlmprobe.reports.robustness import RobustnessRow
    from vlmprobe.reports.verdicts import AxisVerdict
    from vlmprobe.settings import Settings
    from vlmprobe.store.engine import Database
    from vlmprobe.store.runs import Run
    from vlmprobe.study.selection import Chosen
    from vlmprobe.workspace import Workspace

__all__ = ["MergeResult", "merge", "report_folder"]


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The comparison's table, and where its files are."""

    runs: tuple[Run, ...]
    accuracy: tuple[AccuracyPoint, ...]
    peaks: tuple[PeakPoint, ...]
    findings: Findings
    verdicts: tuple[AxisVerdict, ...]
    report: Path
    summary: Path
    figures: tuple[Path, ...]


def merge(
    workspace: Workspace,
    selection: Selection | None = None,
    *,
    template: str = PUBLISHED.name,
    out: Path | None = None,
) -> MergeResult:
    """Compare the newest analyzed run of every scale on one dataset under one template.

    Raises:
        UsageError: no run matches, several datasets do, or a scale has no metrics yet.
        ReadOnlyError: the folder for the report cannot be written.
    """
    workspace.require_output(out)
    chosen = (selection or Selection()).newest(workspace, template)
    # It takes the longest of all, in threads of its own.
    with workspace.opening_once(), all_robustness(workspace, chosen.runs) as robustness:
        return _merge(workspace, chosen, out, robustness)


def report_folder(settings: Settings, families: Sequence[str], dataset: str, template: str) -> Path:
    """Return where a report goes if nobody says otherwise: in a folder of what it compares."""
    mark = "" if is_under(template, PUBLISHED.name) else f"-{template}"
    return settings.reports / file_part(f"{'-'.join(families)}-{dataset}{mark}")


def _merge(
    workspace: Workspace, chosen: Chosen, out: Path | None, robustness: Callable[[], list[RobustnessRow]]
) -> MergeResult:
    settings, database = workspace.settings, workspace.database
    runs = chosen.runs
    study = Study(database, runs)
    families = sorted({run.family for run in runs})
    title, template = ", ".join(families), runs[0].template
    mark = "" if is_under(template, PUBLISHED.name) else f", template {template}"
    folder = out or report_folder(settings, families, runs[0].dataset, template)
    parts = [
        study.part([run for run in runs if run.family == family])
        for family in dict.fromkeys(run.family for run in runs)
    ]
    points = over_templates(database, _of_same_scales(runs, chosen.everything))
    findings = findings_of(study, database)
    for line in findings.order_warnings:
        workspace.console.warn(line)
    verdicts = verdicts_of(workspace, runs, findings)
    figures = draw_report(study, parts, folder, workspace.console)
    report = Report(
        title=f"{title} on {runs[0].dataset}{mark}",
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        dataset=study.dataset,
        runs=study.facts,
        axes=study.axes,
        accuracy=study.accuracy,
        findings=findings,
        verdicts=verdicts,
        leaks=study.leaks,
        peaks=study.peaks,
        layer_ranges=study.layer_ranges,
        changes=_changes(database, runs),
        matrices=scale_matrices(workspace, runs),
        controls=all_controls(workspace, runs),
        robustness=robustness(),
        over_templates=points,
        figures=figures,
        disagreements=study.disagreements,
        notes=[*chosen.notes, *notes_of(study)],
        queries=queries_of_report([run.run_id for run in runs], over_templates=bool(points)),
        provenance={
            "database": settings.database_name,
            "MLflow": without_password(settings.tracking_uri),
            "MLflow experiment": settings.experiment,
            "vlmprobe": version("vlmprobe"),
        },
    )
    paths = _write(folder, report)
    _log(workspace, runs, paths)
    return MergeResult(
        runs=runs,
        accuracy=tuple(study.accuracy),
        peaks=tuple(study.peaks),
        findings=findings,
        verdicts=tuple(verdicts),
        report=folder / "report.html",
        summary=folder / "summary.csv",
        figures=tuple(path for path in paths if path.suffix == ".png"),
    )


def _of_same_scales(runs: Sequence[Run], everything: Sequence[Run]) -> list[Run]:
    """Return the runs of the same scales on the same dataset, under any template."""
    scales = {(run.family, run.scale, run.dataset_id) for run in runs}
    return [run for run in everything if (run.family, run.scale, run.dataset_id) in scales]


def _changes(database: Database, runs: Sequence[Run]) -> list[ChangeRow]:
    """Compare each scale with the next less trained one on the same pairs; skip unknown amounts."""
    changes: list[ChangeRow] = []
    with database.transaction(write=False) as connection:
        for family in dict.fromkeys(run.family for run in runs):
            known = [run for run in runs if run.family == family and run.samples_seen is not None]
            known.sort(key=lambda run: run.samples_seen or 0)
            changes += [
                ChangeRow(
                    family=family,
                    from_scale=known[found.place - 1].scale,
                    to_scale=known[found.place].scale,
                    axis=found.axis,
                    n=found.n,
                    gained=found.gained,
                    lost=found.lost,
                )
                for found in changes_in_sequence(connection, [run.run_id for run in known])
            ]
    return changes


def _write(folder: Path, report: Report) -> list[Path]:
    """Write table and report; return their paths and the figures', the report last."""
    folder.mkdir(parents=True, exist_ok=True)
    write_summary_csv(summary_rows(report), folder / "summary.csv")
    page = folder / "report.html"
    page.write_text(render_report(report), encoding="utf-8")
    figures = [folder / f"{figure.name}.png" for figure in report.figures]
    return [*figures, folder / "summary.csv", page]


def _log(workspace: Workspace, runs: Sequence[Run], paths: Sequence[Path]) -> None:
    """Log the report to each of its runs in MLflow."""
    if workspace.tracker.is_read_only:
        workspace.console.say("the report is not in MLflow, whose store is read-only")
        return
    try:
        for run in runs:
            if run.mlflow_run_id is None:
                continue
            files = [(path, "figures" if path.suffix == ".png" else None) for path in paths]
            workspace.tracker.upload_all(run.mlflow_run_id, files)
    except TrackingError as error:
        workspace.console.warn(
            f"{error}; the report is not in MLflow; "
            f"rerun 'vlmprobe merge' {'after this is mended' if error.lasts else 'when MLflow is back'}"
        )
