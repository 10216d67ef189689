"""Draws the questions about a batch of scenes, with NumPy so that a seed yields the same on any machine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.demo.sampling import sample_scenes
from vlmprobe.demo.scenes import COLOURS, NAMES, SHAPES
from vlmprobe.demo.taught import TAUGHT
from vlmprobe.demo.training.sentences import ANSWERS, PERCEPTION, perception_questions, relation_question
from vlmprobe.demo.training.tokenizer import AFTER_QUESTION, BEFORE_IMAGE, answer_ids, token_id
from vlmprobe.pairs.axes import HORIZONTAL, SPACE, VERTICAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    from tokenizers import Tokenizer

    from vlmprobe.demo.scenes import SceneBatch
    from vlmprobe.demo.training.config import Phase, TrainingConfig

    IntArray = npt.NDArray[np.int64]
    BoolArray = npt.NDArray[np.bool_]

__all__ = ["KINDS", "Lesson", "Prompts", "canonical_relation", "draw_lesson"]

#: The kinds by which questions are counted: those about one object, then a relation on each axis.
KINDS = (*PERCEPTION, *(str(axis) for axis in SPACE.axes))
#: Share of each kind of `PERCEPTION` among the questions about one object.
_SHARES = np.array([3, 3, 3, 5, 5, 1]) / 20
_COLOUR, _SHAPE, _EXISTS, _X, _Y, _COUNT = range(len(PERCEPTION))


class Prompts:
    """Every prompt of a training as token ids: the part after the image, up to where the answer begins."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Encode them all: 24 x 24 pairs of names in each template and axis, and the questions about one object."""
        texts: list[str] = []
        self._perception: dict[str, int] = {}
        for kind, questions in perception_questions().items():
            self._perception[kind] = len(texts)
            texts += questions
        self.templates = tuple(TAUGHT)
        self._relations = np.zeros((len(TAUGHT), len(SPACE.axes)), dtype=np.int64)
        for t, template in enumerate(TAUGHT.values()):
            for a, axis in enumerate(SPACE.axes):
                self._relations[t, a] = len(texts)
                texts += [relation_question(template, axis, one, other) for one in NAMES for other in NAMES]
        self.texts = tuple(texts)

        def encode(text: str) -> list[int]:
            return list(tokenizer.encode(text, add_special_tokens=False).ids)

        rows = [encode(f"<|vision_end|>{text}{AFTER_QUESTION}") for text in texts]
        #: (P,) tokens of each prompt after the image.
        self.lengths: IntArray = np.array([len(row) for row in rows])
        #: (P, L) those tokens, padded on the right; L has room for the answer.
        self.ids: IntArray = np.full((len(rows), int(self.lengths.max()) + 1), self.pad_id(tokenizer))
        for row, ids in enumerate(rows):
            self.ids[row, : len(ids)] = ids
        #: Tokens before the image, the same in every prompt.
        self.before = encode(BEFORE_IMAGE)
        #: (A,) the token of each of `ANSWERS`.
        self.answer_ids: IntArray = np.array(answer_ids(tokenizer))
        self.end_id = token_id(tokenizer, "<|im_end|>")

    @staticmethod
    def pad_id(tokenizer: Tokenizer) -> int:
        """Return the token that fills the end of shorter prompts; nothing attends to it."""
        return token_id(tokenizer, "<|endoftext|>")

    def relation(
        self, template: IntArray, axis: IntArray, subject: IntArray, reference: IntArray
    ) -> IntArray:
        """Return the rows of relation questions: numbers of templates, axes and names, in one shape."""
        return self._relations[template, axis] + subject * len(NAMES) + reference

    def about_one(self, kind: str, what: IntArray) -> IntArray:
        """Return the rows of questions of a kind of `PERCEPTION` about shapes, colors or names."""
        return self._perception[kind] + what

    @cached_property
    def relation_answers(self) -> IntArray:
        """(templates, axes, 2): which of `ANSWERS` is right where the relation is the opposite, the canonical one."""
        return np.array(
            [
                [
                    [
                        ANSWERS.index(str(template.answer(c)))
                        for c in (axis.canonical.opposite, axis.canonical)
                    ]
                    for axis in SPACE.axes
                ]
                for template in TAUGHT.values()
            ]
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step's scenes and questions."""

    scenes: SceneBatch
    prompt: IntArray
    """(n, k) rows of `Prompts`."""
    answer: IntArray
    """(n, k) numbers of `ANSWERS`."""
    kind: IntArray
    """(n, k) numbers of `KINDS`."""
    noise_seed: int


def draw_lesson(config: TrainingConfig, phase: Phase, prompts: Prompts, stream: int, step: int) -> Lesson:
    """Draw a step's scenes and questions.

    Args:
        config: of the training.
        phase: the base model's or the fine-tunings'.
        prompts: the table that the rows point into.
        stream: tells the phases' random numbers apart: the number of samples of a fine-tuning, 0 for the base model.
        step: from 0; a lesson is a function of it, so that a training can go on anywhere.
    """
    rng = np.random.Generator(np.random.PCG64([config.seed, stream, step]))
    n, k = phase.images, config.optimiser.questions
    scenes = sample_scenes(rng, rng.random(n) < phase.consistent_share, config.scenes)
    perception = _about_one_object(rng, scenes, prompts, k)
    relation = _about_the_main_pair(rng, scenes, prompts, k, config.templates, guess=phase.random_relations)
    is_relation = rng.random((n, k)) < phase.relation_share
    prompt, answer, kind = (
        np.where(is_relation, of_pair, of_one) for of_pair, of_one in zip(relation, perception, strict=True)
    )
    return Lesson(scenes, prompt, answer, kind, int(rng.integers(2**62)))


def canonical_relation(scenes: SceneBatch, axis: IntArray, subject: IntArray) -> BoolArray:
    """Return whether the subject is left of, above or farther than the other object of the main pair.

    Args:
        scenes: n scenes.
        axis: (n, k) numbers of `SPACE.axes`.
        subject: (n, k) which of the main pair is asked about, 0 or 1.

    Returns:
        (n, k) booleans.
    """
    other = 1 - subject

    def of(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return np.take_along_axis(values, subject, 1), np.take_along_axis(values, other, 1)

    (x, other_x), (y, other_y), (depth, other_depth) = of(scenes.x), of(scenes.y), of(scenes.depth)
    return np.select(
        [axis == SPACE.axes.index(HORIZONTAL), axis == SPACE.axes.index(VERTICAL)],
        [x < other_x, y < other_y],
        depth > other_depth,
    )


def _about_the_main_pair(
    rng: np.random.Generator,
    scenes: SceneBatch,
    prompts: Prompts,
    k: int,
    shares: Mapping[str, float],
    *,
    guess: bool,
) -> tuple[IntArray, IntArray, IntArray]:
    """Draw relation questions with random axis, template and order; return rows, answers, kinds (n, k)."""
    n = len(scenes.x)
    subject, axis = rng.integers(2, size=(n, k)), rng.integers(len(SPACE.axes), size=(n, k))
    weights = np.array(list(shares.values())) / sum(shares.values())
    numbers = np.array([prompts.templates.index(name) for name in shares])
    template = numbers[rng.choice(len(numbers), p=weights, size=(n, k))]
    names = np.take_along_axis(scenes.name, subject, 1), np.take_along_axis(scenes.name, 1 - subject, 1)
    right = rng.random((n, k)) < 0.5 if guess else canonical_relation(scenes, axis, subject)
    answers = prompts.relation_answers[template, axis, right.astype(np.int64)]
    return prompts.relation(template, axis, *names), answers, len(PERCEPTION) + axis


def _about_one_object(
    rng: np.random.Generator, scenes: SceneBatch, prompts: Prompts, k: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Draw questions on color, shape, existence, place and number; return rows, answers, kinds (n, k)."""
    n, n_shapes = len(scenes.x), len(SHAPES)
    count = scenes.present.sum(1)
    which = np.floor(rng.random((n, k)) * count[:, None]).astype(np.int64)
    name = np.take_along_axis(scenes.name, which, 1)
    colour, shape = name // n_shapes, name % n_shapes

    def shown(wanted: IntArray, values: IntArray) -> IntArray:
        """Count the objects of each scene whose value is the wanted one; (n, k)."""
        alike: BoolArray = (values[:, None, :] == wanted[:, :, None]) & scenes.present[:, None, :]
        counts: IntArray = alike.sum(2)
        return counts

    kind = rng.choice(len(PERCEPTION), p=_SHARES, size=(n, k))
    # "What color is the ball?" has no answer where there are two balls: their places are asked for instead.
    kind = np.where((kind == _COLOUR) & (shown(shape, scenes.name % n_shapes) != 1), _X, kind)
    kind = np.where((kind == _SHAPE) & (shown(colour, scenes.name // n_shapes) != 1), _Y, kind)

    # An absent object shares its color or shape with one that is there, so the whole name matters.
    same_colour = colour * n_shapes + rng.integers(n_shapes, size=(n, k))
    same_shape = rng.integers(len(COLOURS), size=(n, k)) * n_shapes + shape
    decoy = np.where(rng.random((n, k)) < 0.5, same_colour, same_shape)
    sought = np.where(rng.random((n, k)) < 0.5, name, decoy)
    is_there = shown(sought, scenes.name) > 0

    first = {word: ANSWERS.index(word) for word in ("0", "yes", "no", next(iter(COLOURS)), SHAPES[0])}

    def tenth(values: npt.NDArray[np.float64]) -> IntArray:
        tenths = np.floor(np.take_along_axis(values, which, 1) / scenes.image_size * 10).astype(np.int64)
        return first["0"] + np.clip(tenths, 0, 9)

    places = [kind == number for number in range(len(PERCEPTION))]
    rows = np.select(
        places,
        [
            prompts.about_one("colour", shape),
            prompts.about_one("shape", colour),
            prompts.about_one("exists", sought),
            prompts.about_one("x", name),
            prompts.about_one("y", name),
            prompts.about_one("count", np.zeros_like(name)),
        ],
    )
    answers = np.select(
        places,
        [
            first[next(iter(COLOURS))] + colour,
            first[SHAPES[0]] + shape,
            np.where(is_there, first["yes"], first["no"]),
            tenth(scenes.x),
            tenth(scenes.y),
            np.broadcast_to(first["0"] + count[:, None], (n, k)),
        ],
    )
    return rows, answers, kind
