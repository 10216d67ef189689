"""Worlds for what ``robustness`` prints: counterbalanced answers, wrong answers, words, directions, probes."""

from __future__ import annotations

from functools import partial

from vlmprobe.analysis.controls import Split

from .control_trials import carried, following, halves, probed, read_out
from .control_worlds import ControlWorld
from .experiment import Experiment

__all__ = ["CONTROLS"]

#: Pairs, and how many an image.
_SIZES = ((40, 1), (80, 1), (160, 4))


def _controls() -> list[Experiment]:
    found = []
    for pairs, an_image in _SIZES:
        size = f"{pairs} pairs, {an_image} an image"
        for space, word in ((0.0, 0.0), (0.0, 0.3), (0.05, 0.3), (0.3, 0.3), (0.3, 0.0)):
            world = ControlWorld(pairs, an_image, space=space, word=word)
            text = f"space {space}, word {word}, {size}"
            found.append(Experiment(f"counterbalanced: {text}", partial(halves, world), 1000))
            found.append(Experiment(f"readout: {text}", partial(read_out, world), 1000))
        for follows in (0.0, 1.0, -1.0):
            world = ControlWorld(pairs, an_image, space=0.4, wrong=pairs // 4, follows=follows)
            text = f"a quarter of answers wrong, following {follows:+.0f}, {size}"
            found.append(Experiment(text, partial(following, world), 1000))
        for space in (0.0, 0.05, 0.3):
            world = ControlWorld(pairs, an_image, space=space)
            text = f"direction of all other images, theta {space}, {size}"
            found.append(Experiment(text, partial(carried, world), 1000))
    for split in Split:
        for pairs in (60, 120):
            text = f"untrained, probe with {split} split, {pairs} pairs"
            study = partial(probed, split, pairs=pairs)
            found.append(Experiment(text, study, 500))
    return found


CONTROLS = _controls()
