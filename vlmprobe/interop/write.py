"""Writes the old results layout, so that scripts made for it keep working."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vlmprobe.errors import UsageError
from vlmprobe.interop.documents import (
    MetricTable,
    prediction_stats,
    predictions_csv,
    to_csv,
    to_json,
    validity,
)
from vlmprobe.interop.old_layout import TAGS
from vlmprobe.interop.sidecar import sidecar_json
from vlmprobe.interop.write_arrays import write_arrays
from vlmprobe.pairs.axes import Subset
from vlmprobe.safe_names import safe_name
from vlmprobe.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vlmprobe.interop.old_layout import ScaleData, ScaleResults

__all__ = ["write_results", "write_scale", "write_summary"]

#: Two names for the same numbers, since older and newer scripts expect different ones.
_COHERENCE_FILES = ("sign_corrected_consistency", "axis_coherence")


def write_results(
    out: Path, studies: Sequence[tuple[ScaleData, ScaleResults]], *, compress: bool = False
) -> list[Path]:
    """Write several scales of any families as ``out/results/{family}/csv|json|npz``, and each family's summary.

    A family with one scale also gets ``recommend_layer.json`` and ``vd_ei_eq3.json`` without the scale, which is
    how some tools around the reference implementation name them.

    Args:
        out: the folder to write into; made if missing, files of the same name are replaced.
        studies: the scales, in the order that the summary lists them.
        compress: whether the NPZ files are compressed (slow, and hidden states shrink by little).

    Returns:
        The files, in the order written.

    Raises:
        UsageError: a name cannot be part of a file name, or a scale comes twice.
    """
    families: dict[str, list[tuple[ScaleData, ScaleResults]]] = {}
    for data, results in studies:
        members = families.setdefault(safe_name(data.family, "family"), [])
        if any(other.scale == data.scale for other, _ in members):
            raise UsageError(f"{data.family} @ {data.scale} appears twice; export one run per scale")
        members.append((data, results))
        safe_name(data.scale, "scale")
    written = []
    for family, members in families.items():
        folder = out / "results" / family
        for data, results in members:
            written += write_scale(folder, data, results, alone=len(members) == 1)
            written += write_arrays(folder, data, compress=compress)
        written.append(write_summary(folder, members))
    return written


def write_scale(folder: Path, data: ScaleData, results: ScaleResults, *, alone: bool = False) -> list[Path]:
    """Write the CSV and JSON files of one scale into ``folder/csv`` and ``folder/json``; return their paths.

    A number that is NaN is left out or null in the JSON files and an empty cell in the CSV files. A file without
    any number is not written, nor are the files of an empty subset.

    Args:
        folder: the model's folder.
        data: pairs and answers; the states are not looked at.
        results: the metrics, and what else was computed.
        alone: whether the files that some tools name without their scale are written under that name too.

    Raises:
        UsageError: the scale's name cannot be part of a file name.
    """
    scale = safe_name(data.scale, "scale")
    files = (*_subset_files(scale, data, results), *_scale_files(scale, data, results, alone=alone))
    return [_write(folder / name, text) for name, text in files]


def write_summary(folder: Path, studies: Sequence[tuple[ScaleData, ScaleResults]]) -> Path:
    """Write ``csv/summary.csv``: one row per scale, the columns of pred_stats, then ``alignment_deepest``.

    The last is the mean cosine of the deepest layer that has quads, and is left out if no scale has any.
    """
    rows: list[dict[str, Any]] = []
    for data, results in studies:
        row = prediction_stats(data.scale, data.pairs)
        if alignment := MetricTable(results.metrics).cross_alignment():
            row["alignment_deepest"] = list(alignment.values())[-1]["per_sample_mean"]
        rows.append(row)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    # csv writes None as an empty cell.
    return _write(
        folder / "csv" / "summary.csv", to_csv(columns, [[r.get(c) for c in columns] for r in rows])
    )


def _subset_files(scale: str, data: ScaleData, results: ScaleResults) -> Iterator[tuple[str, str]]:
    """Yield name and text of the files that exist for all pairs and for those with both answers right."""
    table = MetricTable(results.metrics)
    for subset, tag in TAGS.items():
        pairs = [pair for pair in data.pairs if subset is Subset.ALL or pair.both_correct]
        if not pairs:
            continue
        yield f"csv/predictions_{scale}_{tag}.csv", predictions_csv(pairs)
        if consistency := table.consistency(subset):
            yield f"json/within_cat_consistency_{scale}_{tag}.json", to_json(consistency)
        if coherence := table.coherence(subset):
            for name in _COHERENCE_FILES:
                yield f"json/{name}_{scale}_{tag}.json", to_json(coherence)
        for layer in table.layers:
            for name, text in (
                ("delta_similarity", table.similarity_csv(subset, layer)),
                ("delta_norm", table.norms_csv(subset, layer)),
            ):
                if text is not None:
                    yield f"csv/{name}_{scale}_L{layer}_{tag}.csv", text


def _scale_files(
    scale: str, data: ScaleData, results: ScaleResults, *, alone: bool
) -> Iterator[tuple[str, str]]:
    """Yield name and text of the files that exist once per scale."""
    table = MetricTable(results.metrics)
    if data.pairs:
        yield f"json/pred_stats_{scale}.json", to_json(prediction_stats(scale, data.pairs))
        yield f"json/category_validity_{scale}.json", to_json(validity(data.pairs))
    if (known := sidecar_json(data)) is not None:
        yield f"json/pairs_{scale}.json", known
    if alignment := table.cross_alignment():
        yield f"json/cross_alignment_{scale}.json", to_json(alignment)
    if pooled := table.entanglement("vd_ei.pooled"):
        yield f"json/vd_ei_{scale}.json", to_json(pooled)
    for ending in (f"_{scale}", "") if alone else (f"_{scale}",):
        if eq3 := table.entanglement("vd_ei.eq3"):
            yield f"json/vd_ei_eq3{ending}.json", to_json(eq3, indent=1)
        if results.candidates is not None:
            yield f"json/recommend_layer{ending}.json", to_json(asdict(results.candidates), indent=1)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
    return path
