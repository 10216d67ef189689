"""Which category each pair has under Null 1's question about another axis, where the exchange leaves it as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmprobe.errors import InputError, UsageError
from vlmprobe.pairs import pictured_relations
from vlmprobe.store.datasets import stored_dataset

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vlmprobe.pairs import AxisSet, Category, Dataset
    from vlmprobe.store.runs import Run
    from vlmprobe.study.evidence import Sources
    from vlmprobe.workspace import Workspace

__all__ = ["NO_BOXES", "BoxSources", "Pictured", "pictured"]

NO_BOXES = (
    "needs the boxes of the objects in both pictures: in the two files, or by --boxes and --swap-boxes; they tell "
    "which relations the exchange leaves as they are"
)
NOT_EXCHANGED = (
    "in {n} pairs the boxes leave the relation that the pair itself asks about as it is: give those of the exchanged "
    "pictures with --swap-boxes"
)


@dataclass(frozen=True, slots=True)
class BoxSources:
    """Where the boxes of objects are that their benchmarks' files do not give: files, or ids of hub datasets."""

    own: str | None = None
    exchanged: str | None = None


@dataclass(frozen=True, slots=True)
class Pictured:
    """What is known of the relation that Null 1 asks about."""

    own: Mapping[str, Category]
    """Pair id -> what its subject is to its reference, on that axis."""
    exchanged: Mapping[str, Category]
    """The same in the exchanged picture."""
    reason: str = ""
    """Why nothing is known."""

    def kept(self, pair_id: str) -> bool | None:
        """Return whether the relation is the canonical one in both pictures; None if it is turned, or not known."""
        one, other = self.own.get(pair_id), self.exchanged.get(pair_id)
        return None if one is None or one != other else one.is_canonical

    def why_none(self, pair_ids: Iterable[str]) -> str:
        """Say why no pair of these has a relation that is known and not turned."""
        if self.reason:
            return self.reason
        turned = sum(
            name in self.own and name in self.exchanged and self.own[name] != self.exchanged[name]
            for name in pair_ids
        )
        if not turned:
            return NO_BOXES
        return (
            f"the exchange turns the relation that the other question asks about, too, in {turned} pairs, and it is "
            "level or not known in the others"
        )


def pictured(workspace: Workspace, sources: Sources, axes: AxisSet, boxes: BoxSources) -> Pictured:
    """Read from the benchmark's file and from that of the exchanged pictures what the other relation is in each.

    Both files must be as they were when they were extracted.

    Raises:
        InputError: boxes that are named cannot be read.
        MissingPackageError: they need a package.
    """
    if sources.exchanged is None:
        return Pictured({}, {}, NO_BOXES)
    found, asked = [], []
    for run, given in ((sources.real, boxes.own), (sources.exchanged[0], boxes.exchanged)):
        known = None if given is None else workspace.benchmarks.boxes(given)
        try:
            read = _read(workspace, run, axes)
            if isinstance(read, str):
                return Pictured({}, {}, read)
            found.append(pictured_relations(read, known))
            asked.append(pictured_relations(read, known, of_pairs=True))
        except (InputError, UsageError) as error:
            return Pictured({}, {}, f"{run.dataset} cannot be read: {error}")
    own, exchanged = found
    still = sum(asked[0][name] == asked[1].get(name) for name in asked[0])
    if still:
        return Pictured({}, {}, NOT_EXCHANGED.format(n=still))
    return Pictured(own, exchanged)


def _read(workspace: Workspace, run: Run, axes: AxisSet) -> Dataset | str:
    """Return the dataset of a run as its file has it, or why not."""
    with workspace.database.transaction(write=False) as connection:
        stored = stored_dataset(connection, run.dataset_id)
    if not stored.path.is_file():
        return f"the file that tells the relations is not there: {stored.path}"
    read = workspace.benchmarks.dataset(
        stored.path,
        max_per_category=int(stored.options.get("max_per_category", 0)),
        axes=axes,
        allow_contradictions="contradictions" not in stored.options,
    )
    if read.dataset_id != run.dataset_id:
        return f"{stored.path} is not the file any more that {run.name} was asked about"
    return read
