"""Trained probes, on splits that neither partners, images nor objects cross."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.controls import ProbePairs, Split, probe
from vlmprobe.analysis.controls.probe import ALL_ALIKE, NO_NAMES, TOO_FEW_OBJECTS
from vlmprobe.workflows.robustness import logistic

from ...statistics.control_worlds import named_objects as study


def over(split, n_studies=12, **options):
    """Return mean accuracy and control over some studies."""
    found = [
        probe(study(np.random.default_rng([21, i]), **options), split, logistic(), seed=i)
        for i in range(n_studies)
    ]
    return tuple(
        float(np.mean([getattr(each, name).value for each in found])) for name in ("accuracy", "control")
    )


def test_the_control_of_disjoint_objects_is_at_chance():
    """Refutes: .5 +- .06. Where objects are on both sides, a rank of names can be learnt, so the split matters."""
    accuracy, control = over(Split.OBJECTS, axis=3.0)
    assert control == pytest.approx(0.5, abs=0.06)
    assert accuracy > 0.9
    assert over(Split.IMAGES, axis=3.0, n_studies=4)[1] > 0.6


@pytest.mark.full
def test_an_untrained_model_is_at_chance():
    """Refutes: .49 to .51 of the category, on either split, over many small studies."""
    for split in Split:
        assert over(split, n_studies=100, names=0.3)[0] == pytest.approx(0.5, abs=0.01)


def test_random_splits_are_not_at_chance():
    """Why they are refused: a pair's partner has the opposite label and nearly the same state."""
    rng, values = np.random.default_rng(3), []
    for _ in range(6):
        made = study(rng, names=0.3)
        states = np.concatenate([made.orig, made.swap])
        labels = np.concatenate([made.canonical, ~made.canonical])
        fold = rng.permutation(len(labels)) % 5
        for number in range(5):
            told = logistic()(states[fold != number], labels[fold != number])
            values.append((told(states[fold == number]) == labels[fold == number]).mean())
    assert np.mean(values) < 0.4


def test_a_swap_flips_the_label_of_the_control():
    """So the control is as hard as the task: an object's place in the rank, read from its place in the question."""
    seen = []

    def spy(states, labels):
        seen.append((states, labels))
        return lambda other: np.zeros(len(other), dtype=bool)

    made = study(np.random.default_rng(4))
    probe(made, Split.IMAGES, spy, seed=0)
    assert len(seen) == 10
    for states, labels in seen:
        half = len(labels) // 2
        assert (labels[:half] == ~labels[half:]).all()
        np.testing.assert_allclose(states.mean(axis=0), 0.0, atol=1e-9)
        np.testing.assert_allclose(states.std(axis=0), 1.0)


def test_no_image_and_no_object_is_on_both_sides():
    """Of each split what it is called after; a picture is on one side of the objects' split, too."""
    made = study(np.random.default_rng(5), pairs=120)
    images = np.arange(120) // 3
    made = ProbePairs(
        np.arange(120)[:, None] + np.zeros((120, 2)),
        np.arange(120)[:, None] + 0.5 + np.zeros((120, 2)),
        made.canonical,
        [f"image {i}" for i in images],
        made.subjects,
        made.references,
    )
    for split in Split:
        sides = []

        def spy(states, labels, sides=sides):
            sides.append([])

            def told(other):
                sides[-1].append((states, other))
                return np.zeros(len(other), dtype=bool)

            return told

        probe(made, split, spy, seed=1)
        for number in range(0, len(sides), 2):
            (trained, first), _ = sides[number]
            # Standardized on the training side: undo it by the two sides' common scale.
            every = np.concatenate([trained[:, 0], first[:, 0]])
            assert len(np.unique(every.round(9))) == len(every)


def test_without_names_or_with_few_objects_there_is_no_probe():
    """NULL, with the reason; where all partitions agree there is no interval."""
    made = study(np.random.default_rng(6))
    nameless = ProbePairs(
        made.orig, made.swap, made.canonical, made.images, [None, *made.subjects[1:]], made.references
    )
    found = probe(nameless, Split.OBJECTS, logistic(), seed=0)
    assert (found.accuracy.value, found.control.reason) == (None, NO_NAMES)
    few = probe(study(np.random.default_rng(7), pairs=16), Split.OBJECTS, logistic(), seed=0)
    assert (few.selectivity.value, few.accuracy.reason) == (None, TOO_FEW_OBJECTS)
    certain = probe(study(np.random.default_rng(8), axis=60.0), Split.OBJECTS, logistic(), seed=0)
    assert (certain.accuracy.value, certain.accuracy.ci_low, certain.accuracy.reason) == (
        1.0,
        None,
        ALL_ALIKE,
    )


def test_a_seed_decides_it():
    """The same folds, partitions and ranks again."""
    made = study(np.random.default_rng(9), axis=1.0)
    for split in Split:
        first, again, other = (probe(made, split, logistic(), seed=seed) for seed in (0, 0, 1))
        assert first == again != other
