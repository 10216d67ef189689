"""Mirror: writes the left/right pairs of a benchmark about mirrored pictures, for verdicts to be held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import UsageError
from vlmprobe.pairs import SPACE, mirrored_pairs, read_dataset, write_mirrored

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.pairs import AxisSet, Dataset, Mirrored
    from vlmprobe.workspace import Workspace

__all__ = ["MirrorResult", "mirror"]


@dataclass(frozen=True, slots=True)
class MirrorResult:
    """The benchmark, and what was made of it."""

    dataset: Dataset
    mirrored: Mirrored


def mirror(
    workspace: Workspace, file: Path, out: Path, *, axes: AxisSet = SPACE, boxes: str | None = None
) -> MirrorResult:
    """Write the left/right pairs of a benchmark once more, about its pictures mirrored left to right.

    All of the file's pairs, so that those of every sample have their partner.

    Args:
        workspace: for its console.
        file: a benchmark in any form whose rows name two objects.
        out: the file to create.
        axes: of the benchmark.
        boxes: a file or a hub dataset of its objects' boxes, which are mirrored with their pictures.

    Raises:
        UsageError: ``out`` is there already, or its folder is not; or the benchmark has no left/right pairs, or spells
            its questions out.
        InputError: the benchmark or its boxes are wrong, or none of its pictures can be mirrored.
        MissingPackageError: the boxes need a package.
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} exists; a benchmark is never overwritten; choose another name")
    if not out.parent.is_dir():
        raise UsageError(f"no folder {out.parent}; create it first")
    known = None if boxes is None else workspace.benchmarks.boxes(boxes)
    size = file.stat().st_size if file.is_file() else 1
    with workspace.console.track("reading", size) as advance:
        seen = 0

        def read(position: int, _: int) -> None:
            nonlocal seen
            advance(position - seen)
            seen = position

        dataset = read_dataset(file, max_per_category=0, axes=axes, progress=read)
    with workspace.console.track("mirroring", len(mirrored_pairs(dataset))) as advance:
        mirrored = write_mirrored(dataset, out, boxes=known, progress=lambda *_: advance(1))
    return MirrorResult(dataset, mirrored)
