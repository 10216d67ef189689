"""Reads and checks results in the old layout, from the reference implementation or from an export."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError
from vlmprobe.interop.npz import MAX_BYTES
from vlmprobe.interop.old_layout import TAGS, AnsweredPair, ImportedRun, ScaleData
from vlmprobe.interop.predictions import read_predictions
from vlmprobe.interop.read_arrays import read_quads, read_vectors
from vlmprobe.interop.sidecar import add_known
from vlmprobe.pairs.axes import Subset
from vlmprobe.safe_names import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vlmprobe.interop.predictions import Prediction
    from vlmprobe.interop.read_arrays import Vectors

__all__ = ["read_results"]

_PARTS = ("csv", "json", "npz")
#: results/saved_data/{model}_{scale} lies three below the folder that holds results.
_DEPTH = 3
_TAG = "|".join(TAGS.values())
#: Files that show which scales a folder has; other files are looked up once the scales are known.
_SCALE_FILES = (
    re.compile(r"vectors_(?P<scale>.+)\.npz"),
    re.compile(rf"predictions_(?P<scale>.+?)(?:_(?:{_TAG}))?\.csv"),
    re.compile(r"pred_stats_(?P<scale>.+)\.json"),
)


def read_results(
    folder: Path,
    *,
    family: str | None = None,
    scales: Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> list[ImportedRun]:
    """Read every scale in a folder of the old layout.

    ``folder`` is a model's folder (with csv, json and npz in it) or one up to three levels above such folders
    (``results``, ``saved_data``, their parent). A model's folder is named after the family, or family and scale
    as in ``saved_data/{model}_{scale}``. Scales come from the file names. Hidden states are checked here, all of
    them, and read again layer by layer when they are asked for. Nothing is unpickled. Files of metrics are not read:
    metrics are computed again.

    Args:
        folder: where to look.
        family: the family's name, in place of the folder's.
        scales: which scales to read; all when None.
        max_bytes: how much an NPZ file may hold when unpacked.

    Returns:
        One run per model folder and scale, sorted by family and scale.

    Raises:
        InputError: nothing is there, or a file is missing, damaged, too large, not finite, at odds with another,
            or needs a pickle. The message names the file and the key.
        UsageError: a family's or scale's name could not be exported again.
    """
    try:
        models = {model: _scales(model) for model in _model_folders(folder, _DEPTH)}
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: {error.strerror}; make it readable, or use another folder"
        ) from None
    if not models:
        raise InputError(_nothing(folder))
    wanted = None if scales is None else set(scales)
    if wanted and (unknown := wanted - set().union(*models.values())):
        known = ", ".join(sorted(set().union(*models.values())))
        raise InputError(f"{folder}: has no scale {', '.join(sorted(unknown))}; it has {known}")
    runs: dict[tuple[str, str], ImportedRun] = {}
    for model, names in models.items():
        for scale in sorted(names if wanted is None else names & wanted):
            key = (safe_name(family or _family(model, names), "family"), safe_name(scale, "scale"))
            if key in runs:
                raise InputError(
                    f"{' @ '.join(key)} is both in {runs[key].folder} and {model}; import one of the two folders"
                )
            runs[key] = _read_scale(model, *key, max_bytes)
    return [runs[key] for key in sorted(runs)]


def _model_folders(folder: Path, depth: int) -> Iterator[Path]:
    if not folder.is_dir():
        return
    if _scales(folder):
        yield folder
    elif depth:
        for child in sorted(folder.iterdir()):
            if not child.name.startswith(".") and child.name not in (*_PARTS, "plots", "logs"):
                yield from _model_folders(child, depth - 1)


def _scales(model: Path) -> set[str]:
    files = [path.name for part in _PARTS if (model / part).is_dir() for path in (model / part).iterdir()]
    return {match["scale"] for name in files for form in _SCALE_FILES if (match := form.fullmatch(name))}


def _family(model: Path, scales: set[str]) -> str:
    name = model.resolve().name
    if len(scales) == 1:
        return name.removesuffix(f"_{next(iter(scales))}") or name
    return name


def _read_scale(model: Path, family: str, scale: str, max_bytes: int) -> ImportedRun:
    path = model / "npz" / f"vectors_{scale}.npz"
    if not path.is_file():
        raise InputError(
            f"{path} is missing, but other files of scale {scale} are there; copy it here, or "
            "choose the scales to import with --scale"
        )
    vectors = read_vectors(path, max_bytes)
    names = (f"predictions_{scale}_{TAGS[Subset.ALL]}.csv", f"predictions_{scale}.csv")
    table = next((model / "csv" / name for name in names if (model / "csv" / name).is_file()), None)
    predictions = None if table is None else read_predictions(table)
    pairs = _pairs(vectors, predictions, table)
    quads = model / "npz" / f"cross_group_vectors_{scale}.npz"
    data = ScaleData(
        family=family,
        scale=scale,
        pairs=pairs,
        layers=vectors.layers,
        quads=read_quads(quads, max_bytes) if quads.is_file() else None,
    )
    known = model / "json" / f"pairs_{scale}.json"
    if known.is_file():
        data = add_known(known, data)
    return ImportedRun(data=data, folder=model)


def _pairs(
    vectors: Vectors, predictions: dict[str, Prediction] | None, table: Path | None
) -> tuple[AnsweredPair, ...]:
    """Join states and answers by index; values in both must agree, or they are of different runs."""
    verdicts = (vectors.correct_orig, vectors.correct_swap)
    if predictions is None:
        if None in verdicts:
            missing = f"is_correct_{('orig', 'swap')[verdicts.index(None)]}_L{min(vectors.layers)}"
            raise InputError(
                f"{vectors.path}: {missing} is missing, and no predictions CSV contains it; add such a CSV as "
                "csv/predictions_SCALE_all_pairs.csv"
            )
        columns = zip(vectors.pair_ids, vectors.categories, *(side or () for side in verdicts), strict=True)
        return tuple(AnsweredPair(i, category, None, None, orig, swap) for i, category, orig, swap in columns)
    if odd := sorted(set(vectors.pair_ids) ^ set(predictions)):
        lacking = vectors.path if odd[0] in predictions else table
        raise InputError(
            f"{vectors.path} has {len(vectors.pair_ids)} pairs, {table} has {len(predictions)}: index "
            f"{odd[0][:40]!r} is not in {lacking}; both files must come from one run"
        )
    pairs = []
    for row, pair_id in enumerate(vectors.pair_ids):
        found = predictions[pair_id]
        for column, told, other in (
            ("category", found.category, vectors.categories[row]),
            ("is_correct_orig", found.correct_orig, verdicts[0] and verdicts[0][row]),
            ("is_correct_swap", found.correct_swap, verdicts[1] and verdicts[1][row]),
        ):
            if other is not None and other != told:
                raise InputError(
                    f"{table}: index {pair_id[:40]!r}: {column} is {told}, but {other} in "
                    f"{vectors.path}; both files must come from one run"
                )
        pairs.append(
            AnsweredPair(
                pair_id=pair_id,
                category=found.category,
                pred_orig=found.pred_orig,
                pred_swap=found.pred_swap,
                correct_orig=found.correct_orig,
                correct_swap=found.correct_swap,
            )
        )
    return tuple(pairs)


def _nothing(folder: Path) -> str:
    if not folder.exists():
        return f"{folder} does not exist; use a folder with results in the old layout"
    if not folder.is_dir():
        return f"{folder} is a file; use the model's folder, the one that holds csv, json and npz"
    return (
        f"{folder}: no results in the old layout; use a folder with npz/vectors_SCALE.npz in it, "
        "or one above such folders (results, saved_data)"
    )
