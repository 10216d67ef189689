"""Finds the benchmark's file of a run again, and reads from it the strata that labels are permuted within."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import InputError, UsageError
from vlmprobe.pairs import read_dataset
from vlmprobe.pairs.strata import read_strata
from vlmprobe.store.axes import read_axes
from vlmprobe.store.datasets import stored_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vlmprobe.pairs import Dataset
    from vlmprobe.pairs.strata import Strata
    from vlmprobe.store.runs import Run
    from vlmprobe.workspace import Workspace

__all__ = ["read_strata_of"]


def read_strata_of(
    workspace: Workspace, runs: Sequence[Run], column: str, data: Path | None = None
) -> dict[str, Strata]:
    """Read a column of the benchmarks' files, each once, and say how many strata it makes.

    Args:
        workspace: the home.
        runs: whose benchmarks.
        column: the column's name.
        data: the benchmark's file, if the user named one; else each is where it was when it was extracted.

    Returns:
        The strata by dataset id.

    Raises:
        InputError: a file has moved or is not the one that was extracted, or has no such column of its images.
        UsageError: a run was imported, so that there is no file.
    """
    file = data if data is not None and data.is_file() else None
    found = {}
    for dataset_id in dict.fromkeys(run.dataset_id for run in runs):
        dataset = _read_again(workspace, dataset_id, column, file)
        strata = found[dataset_id] = read_strata(dataset, column)
        n_images, n_strata, n_empty = len(strata.of_image), strata.n_strata, strata.n_empty
        line = f"{dataset.name}: {n_images} images in {n_strata} strat{'um' if n_strata == 1 else 'a'} of {column}"
        empty = f"; {n_empty} of them have an empty cell and are a stratum of their own" if n_empty else ""
        workspace.console.say(line + empty)
    return found


def _read_again(workspace: Workspace, dataset_id: str, column: str, file: Path | None) -> Dataset:
    """Read a benchmark as it was read when it was extracted, and check that it is the same."""
    with workspace.database.transaction(write=False) as connection:
        stored = stored_dataset(connection, dataset_id)
        axes = read_axes(connection, dataset_id)
    if stored.form == "imported":
        raise UsageError(
            f"{stored.name} was imported without its benchmark's file, so it has no column {column[:60]!r}; "
            "choose other runs with --data, or omit --strata"
        )
    path = stored.path if file is None else file
    if not path.is_file():
        raise InputError(
            f"{stored.name}: {path} is not there, so its column {column[:60]!r} cannot be read; "
            "name the file's new place with --data FILE"
        )
    options = stored.options
    # The options say only where they made a difference, and so do these.
    dataset = read_dataset(
        path,
        max_per_category=options.get("max_per_category", 200),
        seed=options.get("seed", 42),
        axes=axes,
        allow_contradictions="contradictions" not in options,
        decode=bool(options.get("decode", False)),
    )
    if dataset.dataset_id != dataset_id:
        raise InputError(
            f"{path} is not as it was when {stored.name} was extracted (dataset {dataset_id[:12]} then, "
            f"{dataset.dataset_id[:12]} now); restore it, or name an unchanged copy with --data FILE"
        )
    return dataset
