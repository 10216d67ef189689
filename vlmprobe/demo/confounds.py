"""What a benchmark lies about on purpose: names that tell the answer, uneven categories, a fixed order of mention.

Each is something that real benchmarks have, here in a known amount, so that a control can be seen to catch it. The
scenes' geometry is that of the honest benchmark of the same seed; which solid stands where differs, and the picture
shows it, so every question stays true to its picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.demo.scenes import COLOURS, NAMES, SHAPES
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import HORIZONTAL

if TYPE_CHECKING:
    from vlmprobe.demo.scenes import Scene
    from vlmprobe.pairs.axes import Category

__all__ = ["MENTION_ORDERS", "Confounds", "leaking_colours", "with_confounded_names"]

MENTION_ORDERS = ("balanced", "fixed")
# Third words of seeds; the scenes' seeds have two.
_NAMES_STREAM, _POOLS_STREAM = 1, 2


@dataclass(frozen=True, slots=True)
class Confounds:
    """What is confounded, and how much; the defaults confound nothing.

    Raises:
        UsageError: a value is out of range.
    """

    canonical_share: float = 0.5
    """Share of each axis's rows whose category is the canonical one: left, above, far."""
    name_leak: float = 0.5
    """How often the higher object of a vertical row, or the farther one of a distance row, has a color of the leaking
    half (`leaking_colours`), and as often the other one a color of the other half; 0.5 = as often as not. With
    probability 2 * name_leak - 1 both are made so, else names are as drawn. Horizontal rows leak nothing."""
    mention_order: str = "balanced"
    """``fixed``: the shape of a row's subject comes before the reference's in `SHAPES`, so that two kinds of solid are
    always named in the same order; ``balanced``: names know nothing of the order."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 < self.canonical_share < 1.0:
            raise UsageError(
                f"canonical share is {self.canonical_share}; it has to be above 0 and below 1, "
                "so that every category has rows"
            )
        if not 0.5 <= self.name_leak <= 1.0:
            raise UsageError(f"name leak is {self.name_leak}; it has to be between 0.5 (none) and 1")
        if self.mention_order not in MENTION_ORDERS:
            raise UsageError(f"mention order is {self.mention_order!r}; use {' or '.join(MENTION_ORDERS)}")


def leaking_colours(seed: int) -> tuple[str, ...]:
    """Return the half of `COLOURS`, drawn once per seed, that a name leak gives to higher and farther objects."""
    rng = np.random.Generator(np.random.PCG64([seed, 0, _POOLS_STREAM]))
    drawn = set(rng.permutation(len(COLOURS))[: len(COLOURS) // 2])
    return tuple(colour for number, colour in enumerate(COLOURS) if number in drawn)


def with_confounded_names(
    scene: Scene, category: Category, confounds: Confounds, *, seed: int, index: int
) -> Scene:
    """Return a row's scene with the names that its confounds ask for.

    Where the main pair's names are not such already, new ones are drawn uniformly among those that are, different
    from the scene's other names. Places, sizes and the other objects stay.

    Args:
        scene: as drawn.
        category: of the row.
        confounds: what the names give away.
        seed: of the benchmark.
        index: of the row; the names depend on it and the seed, and take nothing from the scene's random numbers.
    """
    rng = np.random.Generator(np.random.PCG64([seed, index, _NAMES_STREAM]))
    leaks = rng.random() < 2 * confounds.name_leak - 1 and category.axis is not HORIZONTAL
    fixed = confounds.mention_order == "fixed"
    subject, reference = scene.roles(category)
    marked = leaking_colours(seed)

    def fits(first: str, second: str) -> bool:
        (colour, shape), (other_colour, other_shape) = first.split(), second.split()
        if fixed and SHAPES.index(shape) >= SHAPES.index(other_shape):
            return False
        higher_or_farther, other = (colour, other_colour) if category.is_canonical else (other_colour, colour)
        return not leaks or (higher_or_farther in marked and other not in marked)

    if fits(subject.name, reference.name):
        return scene
    taken = {thing.name for thing in scene.objects} - {subject.name, reference.name}
    free = [name for name in NAMES if name not in taken]
    pairs = [(first, second) for first in free for second in free if first != second and fits(first, second)]
    names = dict(zip((subject, reference), pairs[int(rng.integers(len(pairs)))], strict=True))
    return replace(
        scene,
        objects=tuple(thing.renamed(names[thing]) if thing in names else thing for thing in scene.objects),
    )
