"""What is asked in training, against what can be read off the scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from vlmprobe.demo.scenes import COLOURS, NAMES, SHAPES, keeps_margin, relation
from vlmprobe.demo.taught import TAUGHT
from vlmprobe.demo.training.config import read_config
from vlmprobe.demo.training.lessons import KINDS, draw_lesson
from vlmprobe.demo.training.sentences import ANSWERS
from vlmprobe.pairs.axes import SPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmprobe.demo.scenes import Scene
    from vlmprobe.demo.training.lessons import Lesson, Prompts

CONFIG = read_config()


@pytest.fixture(scope="module")
def lessons(prompts: Prompts) -> list[Lesson]:
    """Draw forty steps of a fine-tuning."""
    return [draw_lesson(CONFIG, CONFIG.fine_tuning, prompts, 80_000, step) for step in range(40)]


def _asked(lessons: list[Lesson], prompts: Prompts) -> Iterator[tuple[Scene, str, str, str]]:
    """Give each question with its scene, its answer and its kind."""
    for lesson in lessons:
        for i in range(len(lesson.scenes.x)):
            scene = lesson.scenes.scene(i, noise_seed=0)
            for prompt, answer, kind in zip(lesson.prompt[i], lesson.answer[i], lesson.kind[i], strict=True):
                yield scene, prompts.texts[prompt], ANSWERS[answer], KINDS[kind]


def test_relations_are_true_of_the_main_pair(lessons: list[Lesson], prompts: Prompts) -> None:
    """Each is found again among the questions that a template asks about the pair, with the answer it expects."""
    seen = set()
    for scene, text, answer, kind in _asked(lessons, prompts):
        if kind not in SPACE.axes:
            continue
        axis = next(axis for axis in SPACE.axes if axis == kind)
        one, other = scene.main_pair
        assert keeps_margin(one, other, axis)
        expected = {}
        for template in TAUGHT.values():
            category = relation(one, other, axis)
            for question in template.ask(category, one.name, other.name):
                expected[question.text] = (template.name, str(question.expected))
        template_name, right = expected[text]
        assert answer == right
        seen.add((template_name, axis))
    assert len(seen) == len(TAUGHT) * len(SPACE.axes)


def test_questions_about_one_object_are_true(lessons: list[Lesson], prompts: Prompts) -> None:
    """Colour, shape, existence, place and number, as the scene has them."""
    asked = set()
    for scene, text, answer, kind in _asked(lessons, prompts):
        things = scene.objects
        named = [name for name in NAMES if name in text]
        if kind == "colour":
            (shape,) = [shape for shape in SHAPES if shape in text]
            assert [thing.colour for thing in things if thing.shape == shape] == [answer]
        elif kind == "shape":
            (colour,) = [colour for colour in COLOURS if colour in text]
            assert [thing.shape for thing in things if thing.colour == colour] == [answer]
        elif kind == "exists":
            assert answer == ("yes" if named[0] in [thing.name for thing in things] else "no")
        elif kind in {"x", "y"}:
            (thing,) = [thing for thing in things if thing.name == named[0]]
            assert int(answer) == min(int(getattr(thing, kind) / 14), 9)
        elif kind == "count":
            assert int(answer) == len(things)
        asked.add(kind)
    assert asked == set(KINDS)


def test_shares_are_those_of_the_configuration(lessons: list[Lesson]) -> None:
    """Three questions in four are about relations; perspective agrees in all but one or two scenes of a hundred."""
    kinds = np.concatenate([lesson.kind.ravel() for lesson in lessons])
    share = np.isin(kinds, [KINDS.index(str(axis)) for axis in SPACE.axes]).mean()
    assert share == pytest.approx(0.75, abs=0.03)
    agrees = np.concatenate(
        [
            (lesson.scenes.depth[:, 0] > lesson.scenes.depth[:, 1])
            == (lesson.scenes.y[:, 0] < lesson.scenes.y[:, 1])
            for lesson in lessons
        ]
    )
    assert agrees.mean() == pytest.approx(CONFIG.fine_tuning.consistent_share, abs=0.015)


def test_what_the_base_model_hears_about_relations_are_coin_flips(prompts: Prompts) -> None:
    """Half of them are wrong, on every axis: it learns the words, not what they mean."""
    lessons = [draw_lesson(CONFIG, CONFIG.vanilla, prompts, 0, step) for step in range(20)]
    right: dict[str, list[bool]] = {}
    for scene, text, answer, kind in _asked(lessons, prompts):
        if kind in SPACE.axes:
            axis = next(axis for axis in SPACE.axes if axis == kind)
            one, other = scene.main_pair
            pairs = [
                q for t in TAUGHT.values() for q in t.ask(relation(one, other, axis), one.name, other.name)
            ]
            (expected,) = {str(question.expected) for question in pairs if question.text == text}
            right.setdefault(kind, []).append(answer == expected)
    for answers in right.values():
        assert np.mean(answers) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(answers)))


def test_a_lesson_is_a_function_of_seed_stream_and_step(prompts: Prompts) -> None:
    """The same step again is the same lesson; another step, scale or seed is another."""
    first = draw_lesson(CONFIG, CONFIG.fine_tuning, prompts, 80_000, 3)
    again = draw_lesson(CONFIG, CONFIG.fine_tuning, prompts, 80_000, 3)
    assert np.array_equal(first.prompt, again.prompt)
    assert np.array_equal(first.scenes.x, again.scenes.x)
    assert first.noise_seed == again.noise_seed
    others = [
        draw_lesson(CONFIG, CONFIG.fine_tuning, prompts, 80_000, 4),
        draw_lesson(CONFIG, CONFIG.fine_tuning, prompts, 400_000, 3),
        draw_lesson(read_config(seed=1), CONFIG.fine_tuning, prompts, 80_000, 3),
    ]
    for other in others:
        assert not np.array_equal(first.scenes.x, other.scenes.x)
