"""What an extraction says about its dataset, its quads and its run before a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmprobe.errors import InputError
from vlmprobe.pairs import image_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmprobe.families import Environment
    from vlmprobe.pairs import Dataset, QuadSet
    from vlmprobe.store.earlier_runs import EarlierRun
    from vlmprobe.store.parts import Part
    from vlmprobe.store.runs import Run

__all__ = ["changed_line", "check_problems", "dataset_lines", "quad_lines", "resume_line", "shared_lines"]


def quad_lines(quads: QuadSet, unit: str) -> list[str]:
    """Say what became of the boxes."""
    lines = ["boxes: " + ", ".join(f"{count} {what}" for what, count in quads.counts.items())]
    if quads.problems:
        first = quads.problems[0]
        lines.append(
            f"the boxes do not match {len(quads.problems)} rows; the first is "
            f"{unit} {first.line}: {first.what}: {first.why}"
        )
    return lines


def check_problems(dataset: Dataset) -> None:
    """Refuse a file of which less than half can be asked: what is left is rarely the study that was meant.

    Raises:
        InputError: more than half of its rows give no pair.
    """
    if 2 * len(dataset.problems) <= dataset.n_rows:
        return
    first = dataset.problems[0]
    raise InputError(
        f"{dataset.path}: {len(dataset.problems)} of {dataset.n_rows} rows give no pair, the first on "
        f"{dataset.unit} {first.line} ({first.what}: {first.why}); correct the file, or pass --allow-problems "
        "to go on with the rest"
    )


def dataset_lines(dataset: Dataset) -> list[str]:
    """Say what a dataset holds, and what a user should know of its rows and images."""
    lines = [f"{dataset.name}: {len(dataset.pairs)} pairs from {dataset.n_rows} rows ({dataset.form} form)"]
    if dataset.problems:
        first = dataset.problems[0]
        lines.append(
            f"{len(dataset.problems)} rows give no pair ({dataset.unit} {first.line}: {first.what}: {first.why}); "
            f"list them with 'vlmprobe data check {dataset.path}'"
        )
    if dataset.contradictions and dataset.contradictions[0] not in dataset.problems:
        first = dataset.contradictions[0]
        lines.append(
            f"{len(dataset.contradictions)} rows contradict themselves or another row, and are asked all the same "
            f"({dataset.unit} {first.line}: {first.why})"
        )
    return lines + image_lines(dataset)


def resume_line(run: Run, part: Part | None, done: int, total: int, adopted: int) -> str:
    """Describe how much of a run, or of a part, is done; ``adopted`` counts shards that were found without rows."""
    name = run.name if part is None else f"{run.name}, part {part}"
    if run.status == "complete" and done == total:
        again = "; pass --new to extract again" if part is None else ""
        return f"{name}: complete already, all {total} pairs reused (run {run.run_id}){again}"
    found = f", {adopted} shards recovered from the spool" if adopted else ""
    return f"{name}: resuming run {run.run_id}: {done} of {total} pairs reused{found}"


def changed_line(earlier: EarlierRun, dataset: Dataset) -> str:
    """Explain how to resume a run that began before the file's content, or an image that it names, changed."""
    images, it = (", or an image that it names,", "it") if dataset.names_images else ("", "the file")
    return (
        f"{earlier.path}{images} has changed since run {earlier.run_id} began ({earlier.n_pairs} pairs answered), "
        f"so this is a new run; restore {it} and rerun the command to resume that one"
    )


def shared_lines(environment: Environment | None, devices: Sequence[str]) -> Iterator[str]:
    """Say where the batches will be answered, if not by one device."""
    places = () if environment is None else environment.launch
    if len(places) > 1:
        yield f"{len(places)} places share the batches: {'; '.join(place.name for place in places)}"
    if len(devices) > 1:
        each = " at each" if len(places) > 1 else ""
        yield f"{len(devices)} devices{each} share the batches: {', '.join(devices)}"
