"""Summarizes a dataset, so that users can check it before a long run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.pairs.pixels import ONE_COLOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.pairs.axes import Axis, Category
    from vlmprobe.pairs.dataset import Dataset
    from vlmprobe.pairs.swap_pair import RowProblem, SwapPair

__all__ = ["DatasetSummary", "ProblemGroup", "image_lines", "one_color_lines", "summarize"]

_MAX_LINES = 10


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """The row problems of one kind."""

    what: str
    count: int
    lines: tuple[int, ...]
    """The first lines that have it, at most 10."""
    example: str
    """The first line's reason."""


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """Counts and examples; every category has an entry in ``made`` and ``sampled``."""

    name: str
    form: str
    template: str
    dataset_id: str
    n_rows: int
    n_pairs: int
    """Pairs after sampling."""
    made: Mapping[Category, int]
    """Pairs before sampling."""
    sampled: Mapping[Category, int]
    n_images: int
    """Different images among the sampled pairs."""
    problems: tuple[ProblemGroup, ...]
    """The most frequent kind first."""
    examples: Mapping[Axis, tuple[str, str]]
    """The original and the swapped question of the first pair of each axis that has one."""


def summarize(dataset: Dataset) -> DatasetSummary:
    """Count a dataset's rows, pairs, images and problems."""
    sampled = dict.fromkeys(dataset.axes.categories, 0)
    examples: dict[Axis, tuple[str, str]] = {}
    for pair in dataset.pairs:
        sampled[pair.category] += 1
        examples.setdefault(pair.axis, (pair.orig.text, pair.swap.text))
    return DatasetSummary(
        name=dataset.name,
        form=dataset.form,
        template=dataset.template,
        dataset_id=dataset.dataset_id,
        n_rows=dataset.n_rows,
        n_pairs=len(dataset.pairs),
        made=dict(dataset.n_made),
        sampled=sampled,
        n_images=len({pair.image_sha256 for pair in dataset.pairs}),
        problems=_group(dataset.problems),
        examples={axis: examples[axis] for axis in dataset.axes if axis in examples},
    )


def image_lines(dataset: Dataset) -> list[str]:
    """Say, in a line each, how many images are shown to a model in a way that a user should know of."""
    return _lines(dataset.made, dataset.unit, "")


def one_color_lines(dataset: Dataset) -> list[str]:
    """Say, in a line for each color, how many images of the sample have nothing to see in them."""
    return _lines(dataset.pairs, dataset.unit, ONE_COLOR)


def _lines(pairs: Sequence[SwapPair], unit: str, begins: str) -> list[str]:
    found: dict[str, dict[str, int]] = {}
    for pair in pairs:
        for note in pair.image_notes:
            if note.startswith(begins):
                found.setdefault(note, {}).setdefault(pair.image_sha256, pair.line)
    return [
        f"{len(lines)} image{'s' if len(lines) > 1 else ''}: {note} "
        f"({'first on ' if len(lines) > 1 else ''}{unit} {min(lines.values())})"
        for note, lines in found.items()
    ]


def _group(problems: tuple[RowProblem, ...]) -> tuple[ProblemGroup, ...]:
    by_what: dict[str, list[RowProblem]] = {}
    for problem in problems:
        by_what.setdefault(problem.what, []).append(problem)
    groups = [
        ProblemGroup(what, len(found), tuple(p.line for p in found[:_MAX_LINES]), found[0].why)
        for what, found in by_what.items()
    ]
    return tuple(sorted(groups, key=lambda group: -group.count))
