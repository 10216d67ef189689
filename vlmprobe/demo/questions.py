"""The rows of the demo's benchmark before they are drawn: a scene, a question about it, the answer.

Questions and answers are worded as in EmbSpatial-Bench, so that the demo takes the same path as a real
benchmark. A row depends only on its number and the seed, so a longer benchmark starts with the rows of a
shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.demo.confounds import Confounds, with_confounded_names
from vlmprobe.demo.sampling import sample_scenes
from vlmprobe.demo.scenes import is_consistent
from vlmprobe.errors import UsageError
from vlmprobe.pairs.axes import ABOVE, BELOW, CLOSE, DISTANCE, FAR, LEFT, RIGHT, SPACE, Category

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.demo.scenes import Scene, SceneObject, SceneOptions

__all__ = ["LETTERS", "BenchmarkRow", "benchmark_rows"]

LETTERS = ("A", "B", "C", "D")
#: Fills the options of a far/close row that name no object; EmbSpatial-Bench's own word.
UNKNOWN = "unknown"

_RELATION_QUESTIONS = (
    "How are {a} and {b} positioned in relation to each other in the image?",
    "What is the spatial relationship between {a} and {b} in the image?",
    "Can you describe the spatial arrangement of {a} and {b} in the image?",
    "How do the positions of {a} and {b} interact in the image?",
    "What is the spatial configuration of {a} and {b} in the image?",
)
# A scene may hold nearer or farther objects than the main pair: the question is about those listed.
_DISTANCE_QUESTIONS = {
    FAR: "Which of the listed objects is the farthest from the viewer?",
    CLOSE: "Which of the listed objects is the closest to the viewer?",
}
_RELATION_OPTIONS = (LEFT, RIGHT, ABOVE, BELOW)

#: Maximum per category: hours of drawing and gigabytes of images. More is a mistake.
_MOST_PAIRS = 100_000


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One question with its scene, which is the ground truth and not in the file."""

    index: int
    category: Category
    """What the subject is to the reference."""
    scene: Scene
    subject: SceneObject
    """The object that the question names first; of a far/close row, the one that is the right option."""
    reference: SceneObject
    question: str
    options: tuple[str, str, str, str]
    """In the order A to D."""
    answer: str
    """The letter of the right option."""

    @property
    def question_id(self) -> str:
        """The key that joins the TSV and the boxes, such as ``demo-000123``."""
        return f"demo-{self.index:06d}"

    @property
    def perspective(self) -> str:
        """``consistent`` where the pair's farther object is higher in the image, else ``counter``."""
        return "consistent" if is_consistent(self.subject, self.reference) else "counter"

    def exchanged(self, *, own_axis: bool = False) -> BenchmarkRow:
        """Return the same question about the scene with the two objects in each other's places.

        The pair that a reader makes of it asks the same, word for word, and expects the opposite. So the options keep
        their letters, and a far row becomes a close one whose right option is the same object.

        Args:
            own_axis: exchange them on the category's axis alone, so that no other relation is reversed.
        """
        category = self.category.opposite
        scene = self.scene.exchanged(category.axis if own_axis else None)
        subject, reference = scene.roles(category)
        is_distance = category.axis is DISTANCE
        right = subject.name if is_distance else str(category)
        return replace(
            self,
            category=category,
            scene=scene,
            subject=subject,
            reference=reference,
            question=_DISTANCE_QUESTIONS[category] if is_distance else self.question,
            answer=LETTERS[self.options.index(right)],
        )


def benchmark_rows(
    pairs_per_category: int = 40,
    *,
    seed: int = 0,
    counter_share: float = 0.5,
    options: SceneOptions | None = None,
    confounds: Confounds | None = None,
) -> Iterator[BenchmarkRow]:
    """Yield the benchmark's rows in file order: left, right, above, below, far, close, left, right ...

    Args:
        pairs_per_category: rows of each category; of each axis twice as many, which other confounds divide otherwise.
        seed: of the scenes, the order of the options and the noise.
        counter_share: share of each category's rows, 0 to 1 and spread evenly over the file, in which the
            farther object is lower in the image. Every row keeps the margins of all three axes, so that
            vertical and distance questions about its pair are both clear.
        options: size, margins and number of objects of the scenes; the bundled checkpoints' when None.
        confounds: what the rows give away besides their scenes; nothing when None.

    Raises:
        UsageError: a count or seed or share out of range; raised by the call, not by the first row.

    """
    if pairs_per_category < 1:
        raise UsageError(f"pairs per category: {pairs_per_category}; use 1 or more")
    if pairs_per_category > _MOST_PAIRS:
        raise UsageError(f"pairs per category: {pairs_per_category}; use at most {_MOST_PAIRS}")
    if not 0.0 <= counter_share <= 1.0:
        raise UsageError(f"counter share is {counter_share}; it has to be between 0 and 1")
    if seed < 0:
        raise UsageError(f"seed is {seed}; it has to be 0 or more")
    n_rows = pairs_per_category * len(SPACE.categories)
    confounds = confounds or Confounds()
    return (_row(index, seed, counter_share, options, confounds) for index in range(n_rows))


def _row(
    index: int, seed: int, counter_share: float, options_of_scene: SceneOptions | None, confounds: Confounds
) -> BenchmarkRow:
    category, turn = _category(index, confounds.canonical_share)
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    consistent = np.array([not _is_among(turn, counter_share)])
    scenes = sample_scenes(rng, consistent, options_of_scene)
    drawn = scenes.scene(0, noise_seed=int(rng.integers(2**63)))
    scene = with_confounded_names(drawn, category, confounds, seed=seed, index=index)
    subject, reference = scene.roles(category)

    if category.axis is DISTANCE:
        question = _DISTANCE_QUESTIONS[category]
        right, options = subject.name, [subject.name, reference.name, UNKNOWN, UNKNOWN]
    else:
        phrasing = _RELATION_QUESTIONS[turn % len(_RELATION_QUESTIONS)]
        question = phrasing.format(a=subject.name, b=reference.name)
        right, options = str(category), [str(option) for option in _RELATION_OPTIONS]
    a, b, c, d = (options[i] for i in rng.permutation(len(options)))
    return BenchmarkRow(
        index=index,
        category=category,
        scene=scene,
        subject=subject,
        reference=reference,
        question=question,
        options=(a, b, c, d),
        answer=LETTERS[(a, b, c, d).index(right)],
    )


def _category(index: int, canonical_share: float) -> tuple[Category, int]:
    """Return a row's category, and how many rows of that category come before it."""
    turn, which = divmod(index, len(SPACE.categories))
    axis, place = SPACE.axes[which // 2], 2 * turn + which % 2
    canonical_before = int(place * canonical_share + 0.5)
    if _is_among(place, canonical_share):
        return axis.canonical, canonical_before
    return axis.canonical.opposite, place - canonical_before


def _is_among(number: int, share: float) -> bool:
    """Whether a row is one of a share that is spread evenly: of the first n rows, n * share rounded are."""
    return int((number + 1) * share + 0.5) > int(number * share + 0.5)
