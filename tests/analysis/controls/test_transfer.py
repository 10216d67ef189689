"""Directions that tell categories of pairs they were not fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from vlmprobe.analysis.controls import AxisDeltas, direction_accuracy, transfer, transfer_matrix
from vlmprobe.analysis.controls.transfer import NO_DIRECTION
from vlmprobe.analysis.geometry.estimates import TOO_FEW_IMAGES, TOO_FEW_OF_CATEGORY

from ...statistics.scene_world import length
from ...statistics.worlds import directions, noise_spread

DIM = 48


def pairs(rng, theta, *, n=80, an_image=1, axis=None, share=0.5, order=0.0):
    """One axis; pairs of an image share half of their noise."""
    first, common = directions(DIM, 2, 3)
    canonical = rng.permutation(np.arange(n) < share * n)
    images = np.arange(n) // an_image
    noise = rng.normal(size=(n, DIM))
    if an_image > 1:
        noise = np.sqrt(0.5) * noise + np.sqrt(0.5) * rng.normal(size=(n, DIM))[images]
    signs = np.where(canonical, 1.0, -1.0)[:, None]
    deltas = signs * (first if axis is None else axis) * length(theta) + noise * noise_spread(DIM)
    return AxisDeltas(deltas + order * common, canonical, [f"image {i}" for i in images])


def mean_accuracy(theta, n_studies=60, **options):
    """Over some studies."""
    studies = [pairs(np.random.default_rng([11, i]), theta, **options) for i in range(n_studies)]
    return float(np.mean([direction_accuracy(each).value for each in studies]))


@pytest.mark.parametrize(
    "options", [{}, {"an_image": 4}, {"share": 0.8}, {"order": 1.0}, {"order": 1.0, "share": 0.8}]
)
def test_without_an_axis_directions_tell_nothing(options):
    """Refutes: an accuracy of .5, whatever images share and whatever every swap does."""
    assert mean_accuracy(0.0, **options) == pytest.approx(0.5, abs=0.04)


def test_an_axis_tells_its_categories():
    """Nearly always at coherence .5; more often than not at .02."""
    assert mean_accuracy(0.5, 5) > 0.98
    assert 0.6 < mean_accuracy(0.02, 20) < 0.8


def test_partners_of_an_image_do_not_give_each_other_away():
    """Refutes splits by pairs: labels that go with images, and noise that images share, are told without an axis."""
    naive, careful = [], []
    for number in range(30):
        rng = np.random.default_rng([12, number])
        images, canonical = np.arange(40) // 4, np.arange(40) // 4 % 2 == 0
        noise = rng.normal(size=(10, DIM))[images] + 0.5 * rng.normal(size=(40, DIM))
        careful.append(direction_accuracy(AxisDeltas(noise, canonical, images.astype(str))).value)
        naive.append(direction_accuracy(AxisDeltas(noise, canonical, np.arange(40).astype(str))).value)
    assert np.mean(naive) > 0.8
    assert np.mean(careful) < 0.55


def test_a_hit_is_a_sign_along_the_direction_of_all_other_images():
    """Oracle: image by image."""
    study = pairs(np.random.default_rng(13), 0.05, n=24, an_image=2)
    names, hits = np.array(study.images), []
    for i in range(24):
        other = names != names[i]
        means = [study.vectors[other & (study.canonical == end)].mean(axis=0) for end in (True, False)]
        hits.append((study.vectors[i] @ (means[0] - means[1]) > 0) == study.canonical[i])
    assert direction_accuracy(study).value == pytest.approx(np.mean(hits))


def test_transfer_has_a_sign():
    """The same axis in other words: near 1. Opposite: near 0. Another: neither."""
    rng = np.random.default_rng(14)
    first, second = directions(DIM, 2, 3)
    sets = {
        "axis": pairs(rng, 0.4),
        "again": pairs(rng, 0.4),
        "reversed": pairs(rng, 0.4, axis=-first),
        "other": pairs(rng, 0.4, axis=second),
    }
    found = {key: each.value for key, each in transfer_matrix(sets).items()}
    assert len(found) == 16
    assert found["axis", "again"] > 0.95
    assert found["axis", "reversed"] < 0.05
    assert 0.2 < found["axis", "other"] < 0.8
    assert found["axis", "axis"] == direction_accuracy(sets["axis"]).value


def test_an_image_in_both_is_left_out_of_the_direction():
    """Refutes: two templates with the noise of their images in common transfer without an axis."""
    shared, apart = [], []
    for number in range(30):
        rng = np.random.default_rng([15, number])
        noise, canonical = rng.normal(size=(20, DIM)), rng.permutation(20) < 10
        images = [f"image {i}" for i in range(20)]
        source = AxisDeltas(noise, canonical, images)
        target = AxisDeltas(noise + 0.1 * rng.normal(size=(20, DIM)), canonical, images)
        shared.append(transfer(source, target).value)
        apart.append(
            transfer(source, AxisDeltas(target.vectors, canonical, [f"x{i}" for i in range(20)])).value
        )
    assert np.mean(apart) > 0.9
    assert np.mean(shared) == pytest.approx(0.5, abs=0.1)


def test_too_little_is_said_so():
    """No direction without a category in other images, no interval from few images."""
    rng = np.random.default_rng(16)
    few = direction_accuracy(pairs(rng, 0.5, n=8))
    assert (few.reason, few.ci_low) == (TOO_FEW_IMAGES, None)
    lopsided = direction_accuracy(pairs(rng, 0.5, n=40, share=0.95))
    assert lopsided.reason == TOO_FEW_OF_CATEGORY
    study = pairs(rng, 0.5, n=20, share=0.05)
    assert direction_accuracy(study).reason == NO_DIRECTION
    assert direction_accuracy(study).value is None
    with pytest.raises(ValueError, match="same model"):
        transfer(study, AxisDeltas(study.vectors[:, 1:], study.canonical, study.images))
    with pytest.raises(ValueError, match="one image each"):
        AxisDeltas(study.vectors, study.canonical[1:], study.images)


def test_pairs_that_were_not_asked_are_none():
    """A row of NaN is left out, of the direction and of the pairs that are told."""
    study = pairs(np.random.default_rng(17), 0.2, n=60)
    rows = np.arange(60) % 3 > 0
    some = AxisDeltas(np.where(rows[:, None], study.vectors, np.nan), study.canonical, study.images)
    alone = AxisDeltas(study.vectors[rows], study.canonical[rows], np.array(study.images)[rows].tolist())
    assert direction_accuracy(some) == direction_accuracy(alone)
