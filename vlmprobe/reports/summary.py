"""A summary for other programs: one row per run and axis, with every float in full precision."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from vlmprobe.reports.report import Report

__all__ = ["summary_rows", "write_summary_csv"]

_ACCURACIES = tuple(
    f"acc_{side}{bound}" for side in ("orig", "swap", "both") for bound in ("", "_low", "_high")
)


def summary_rows(report: Report, subset: str = "all") -> list[dict[str, object]]:
    """Return one row per (run, axis) of the report: accuracies with bounds, peak and split coherence of a subset.

    ``overall`` has no coherence: these columns are None.
    """
    run_ids = {(run.family, run.scale): run.run_id for run in report.runs}
    peaks = {(peak.family, peak.scale, peak.target): peak for peak in report.peaks if peak.subset == subset}
    rows: list[dict[str, object]] = []
    for point in report.accuracy:
        peak = peaks.get((point.family, point.scale, point.target))
        rows.append(
            {
                "dataset": report.dataset.name,
                "family": point.family,
                "scale": point.scale,
                "samples_seen": point.samples_seen,
                "run_id": run_ids.get((point.family, point.scale)),
                "axis": point.target,
                "n": point.n,
                **{name: getattr(point, name) for name in _ACCURACIES},
                "peak_layer": peak.layer if peak else None,
                "peak_coherence": peak.value if peak else None,
                "split_coherence": peak.split if peak else None,
                "split_ci_low": peak.split_low if peak else None,
                "split_ci_high": peak.split_high if peak else None,
            }
        )
    return rows


def write_summary_csv(rows: Sequence[Mapping[str, object]], path: str | os.PathLike[str]) -> None:
    """Write rows as CSV; floats read back as the same floats, NaN as ``nan``, None as an empty field.

    The columns are all keys, in the order of first appearance. An existing file is replaced atomically.

    Raises:
        UsageError: no rows, so that there is no header to write.
    """
    if not rows:
        raise UsageError(f"{Path(path)}: no rows to write; run `vlmprobe analyze` first")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(Path(path)) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_field(row.get(column)) for column in columns] for row in rows)


def _field(value: object) -> object:
    # A NumPy float is a float whose own repr names its type.
    return repr(float(value)) if isinstance(value, float) else value
