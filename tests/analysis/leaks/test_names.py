"""How often names alone tell a relation: seen where it is so, not seen where it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from vlmprobe.analysis.inference import hash_order
from vlmprobe.analysis.leaks import find_leaks
from vlmprobe.analysis.leaks.bag import Bag
from vlmprobe.pairs import PUBLISHED, SPACE

from .benchmarks import HIGH, LOW, perspectives_of, simulated, swap_pair


def _names(pairs, name="names", **options):
    options.setdefault("n_draws", 199)
    return {leak.target: leak for leak in find_leaks(pairs, SPACE, **options) if leak.name == name}


def _bag(leak, *, n_draws=199, seed=3, n=80):
    pairs = [pair for pair in simulated(seed, leak=leak, n_an_axis=n) if pair.axis == "vertical"]
    columns = (
        [pair.subject for pair in pairs],
        [pair.reference for pair in pairs],
        [pair.category.is_canonical for pair in pairs],
        [pair.image_sha256 for pair in pairs],
    )
    return columns, Bag(*columns, n_draws=n_draws, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_names_that_go_with_the_relation_in_nine_of_ten_pairs_are_found(seed):
    """The accuracy is about .9, every axis raises an alarm, and no draw reaches it."""
    for leak in _names(simulated(seed, leak=0.9), n_draws=999).values():
        assert leak.value == pytest.approx(0.9, abs=0.12)
        assert leak.chance == pytest.approx(0.5, abs=0.03)
        assert leak.p_value == 0.001
        assert leak.is_alarm
        assert (leak.draws, leak.seed) == (999, 42)


def test_the_accuracy_is_that_of_a_ridge_regression_on_the_same_folds():
    """Against scikit-learn's, without an intercept, on signed names; each of these names is its one word as well."""
    (subjects, references, canonical, images), bag = _bag(0.75)
    names = sorted({*subjects, *references})
    signed = np.array(
        [[(name == a) - (name == b) for name in names] for a, b in zip(subjects, references, strict=True)]
    )
    # A name and its only word are two equal columns.
    features = np.hstack([signed, signed]).astype(float)
    labels = np.where(canonical, 1.0, -1.0)
    every = sorted(set(images))
    fold_of = {every[place]: rank % 10 for rank, place in enumerate(hash_order(every))}
    folds = np.array([fold_of[image] for image in images])
    right = []
    for fold in range(10):
        model = Ridge(alpha=1.0, fit_intercept=False).fit(features[folds != fold], labels[folds != fold])
        right += list(np.sign(model.predict(features[folds == fold])) == labels[folds == fold])
    assert bag.of_new_images().accuracy == pytest.approx(np.mean(right))


def test_the_order_in_which_a_file_names_two_objects_changes_nothing():
    """A pair turned over, with the opposite category, says the same; so a file with one category leaks as well."""
    pairs = simulated(1, leak=0.8)
    turned = [
        replace(pair, subject=pair.reference, reference=pair.subject, category=pair.category.opposite)
        if place % 3
        else pair
        for place, pair in enumerate(pairs)
    ]
    canonical = [
        pair
        if pair.category.is_canonical
        else replace(pair, subject=pair.reference, reference=pair.subject, category=pair.category.opposite)
        for pair in pairs
    ]
    values = [[leak.value for leak in _names(each).values()] for each in (pairs, turned, canonical)]
    assert values[0] == values[1] == values[2]


def test_copies_of_a_pair_count_once():
    """In either order: a benchmark that has each row five times is worth as much as one that has it once."""
    pairs = simulated(2, leak=0.7)
    copies = [replace(pair, pair_id=f"{pair.pair_id}-{copy}") for pair in pairs for copy in range(5)]
    once, five_times = _names(pairs), _names(copies)
    assert [(leak.value, leak.p_value, leak.n) for leak in once.values()] == [
        (leak.value, leak.p_value, leak.n) for leak in five_times.values()
    ]


def test_spelling_does_not_hide_a_name():
    """Case, articles and marks between words are the same to a reader."""
    spelled = [
        replace(pair, subject=f"The {pair.subject.upper()}", reference=f"a {pair.reference}")
        if place % 2
        else pair
        for place, pair in enumerate(simulated(4, leak=0.9))
    ]
    plain = _names(simulated(4, leak=0.9))
    assert [leak.value for leak in _names(spelled).values()] == [leak.value for leak in plain.values()]


def test_mirrored_pictures_take_the_leak_away():
    """Where each couple of names is there both ways round, names say nothing, however often they come."""
    pairs = [
        each
        for place, pair in enumerate(simulated(5, leak=0.9))
        for each in (
            pair,
            swap_pair(
                1000 + place, pair.category.opposite, pair.subject, pair.reference, image=f"mirror-{place}"
            ),
        )
    ]
    assert not any(leak.is_alarm for leak in _names(pairs).values())


def test_labels_of_an_image_are_reversed_together():
    """Pairs of one image that agree are worth one: what 80 images would show, 10 cannot."""
    couples = [("wall", "rug"), ("window", "cup"), ("clock", "box"), ("shelf", "shoe")] * 2
    by_image = [
        swap_pair(10 * image + place, "above" if image < 8 else "below", *couple, image=f"image-{image}")
        for image in range(10)
        for place, couple in enumerate(couples[:4])
    ]
    alone = [swap_pair(pair.line, pair.category, pair.subject, pair.reference) for pair in by_image]
    together, apart = _names(by_image, n_draws=999)["vertical"], _names(alone, n_draws=999)["vertical"]
    assert together.p_value > 0.05 > apart.p_value


def test_objects_held_out_show_only_what_words_carry():
    """Whole names never come back, so nothing is known of plain ones; "wall clock" and "wall lamp" share a word."""
    plain = _names(simulated(6, leak=0.9), "names_new")["vertical"]
    assert plain.value is None
    assert plain.reason == "fewer than 20 pairs share a word with pairs about other objects"
    rng = np.random.default_rng(6)
    pairs = []
    for place in range(120):
        high = f"{'wall' if rng.random() < 0.9 else 'floor'} {rng.choice(HIGH)} {rng.integers(20)}"
        low = f"{'floor' if high.startswith('wall') else 'wall'} {rng.choice(LOW)} {rng.integers(20)}"
        pairs.append(swap_pair(place, "above", high, low))
    shared = _names(pairs, "names_new")["vertical"]
    assert shared.value > 0.75
    assert shared.p_value < 0.05
    assert shared.p_holm is None


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ([swap_pair(n, "left", "cup", "book") for n in range(9)], "fewer than 10 images"),
        (
            [swap_pair(n, "left", f"cup {n}a", f"book {n}b") for n in range(12)],
            "fewer than 20 pairs have a name that occurs in another image",
        ),
        ([swap_pair(n, "left", None, None) for n in range(40)], "the file's own questions name no objects"),
    ],
)
def test_what_cannot_be_known_is_no_number(pairs, reason):
    """None and the reason, never 0 or .5."""
    leak = _names(pairs)["horizontal"]
    assert (leak.value, leak.p_value, leak.p_holm, leak.draws) == (None, None, None, None)
    assert leak.reason == reason
    assert leak.says == f"horizontal: not known: whether names alone tell the relation ({reason})."


def test_the_same_seed_gives_the_same_numbers():
    """And another one other draws of the same accuracy."""
    pairs = simulated(7, leak=0.6)
    once, again, other = _names(pairs), _names(pairs), _names(pairs, seed=1)
    assert once == again
    assert [leak.value for leak in other.values()] == [leak.value for leak in once.values()]
    assert [leak.chance for leak in other.values()] != [leak.chance for leak in once.values()]


def test_p_values_of_names_that_say_nothing_are_uniform_enough():
    """Of 60 axes about 5 % are below .05; images have one to four pairs."""
    p_values = [
        leak.p_value
        for seed in range(20)
        for leak in _names(simulated(seed, n_an_axis=60, pairs_an_image=(1, 2, 3, 4)), n_draws=99).values()
    ]
    assert sum(p <= 0.05 for p in p_values) <= 8
    assert 0.35 < np.mean(p_values) < 0.65


@pytest.mark.full
@pytest.mark.parametrize("options", [{}, {"pairs_an_image": (1, 2, 3, 4), "canonical_share": 0.8}], ids=str)
def test_of_500_benchmarks_from_which_nothing_leaks_at_most_5_percent_raise_an_alarm(options):
    """Over all tests together: names of three axes, perspective, places of answers. Two standard errors are .02."""
    alarms = 0
    for seed in range(500):
        pairs = simulated(seed, **options)
        found = find_leaks(pairs, SPACE, perspectives_of(pairs, seed), n_draws=499, seed=seed)
        alarms += any(leak.is_alarm for leak in found)
    assert alarms / 500 <= 0.05 + 0.02


def test_every_check_says_something_of_a_pair_under_any_template():
    """No sentence is missing, whatever the wording."""
    pairs = [PUBLISHED.reword(pair) for pair in simulated(8, n_an_axis=4)]
    assert all(leak.says.endswith(".") for leak in find_leaks(pairs, SPACE))
