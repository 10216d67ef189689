"""The studies of "Is it space?": which benchmarks, and which checkpoints are judged on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlmprobe.demo import Confounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KEYS", "Study", "all_studies", "name_of"]

#: Pairs of each category: 80 an axis, 240 in all.
PAIRS_PER_CATEGORY = 40
LEAKS = (0.9, 0.75, 0.5)
NAME_SEEDS = range(5)
WEIGHT_SEEDS = range(3)
#: Scales that are asked about each lie; random weights are those of seed 0.
SCALES = ("vanilla", "400k", "2m", "random")
LIES: dict[str, Confounds] = {
    "name-leak": Confounds(name_leak=0.9),
    "uneven": Confounds(canonical_share=0.8),
    "mention-order": Confounds(mention_order="fixed"),
    "mention-order, uneven": Confounds(mention_order="fixed", canonical_share=0.8),
    "none": Confounds(),
}
#: What tells one study of a file from another.
KEYS = {"random-weights": ("leak", "names", "weights"), "lies": ("lie",)}


@dataclass(frozen=True)
class Study:
    """One benchmark and the checkpoints that are judged together on it."""

    kind: str
    """The file of its rows, without ``.csv``."""
    key: Mapping[str, Any]
    """The first cells of its rows."""
    seed: int
    """Of the benchmark."""
    confounds: Confounds
    checkpoints: Mapping[str, int | None]
    """Name of a scale -> the seed of its random weights; None = a bundled checkpoint."""
    pairs_per_category: int = PAIRS_PER_CATEGORY

    @property
    def name(self) -> str:
        """Its file and its key: ``random-weights/0.9/3/1``."""
        return name_of(self.kind, self.key)


def all_studies() -> Iterator[Study]:
    """Yield the studies, the most telling first."""
    for leak in LEAKS:
        for names in NAME_SEEDS:
            for weights in WEIGHT_SEEDS:
                key = {"leak": leak, "names": names, "weights": weights}
                checkpoints = {"random": weights}
                yield Study("random-weights", key, names, Confounds(name_leak=leak), checkpoints)
    for lie, confounds in LIES.items():
        yield Study("lies", {"lie": lie}, 0, confounds, {name: _weights(name) for name in SCALES})


def _weights(scale: str) -> int | None:
    return 0 if scale == "random" else None


def name_of(kind: str, row: Mapping[str, Any]) -> str:
    """Return the name of the study that a row of a file is of."""
    return "/".join([kind, *(str(row[key]) for key in KEYS[kind])])
