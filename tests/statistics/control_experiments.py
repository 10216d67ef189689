"""Worlds for what ``robustness`` prints: counterbalanced answers, wrong answers, words, directions, probes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import Split

from .control_trials import carried, following, halves, lengths, probed, read_out
from .control_worlds import ControlWorld
from .experiment import COVERED, NOISE, TESTED, Experiment
from .outcomes import COVERAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTROLS"]

#: Pairs, and how many an image.
_SIZES = ((40, 1), (80, 1), (160, 4))


_IN_ALL = (
    "each pair is in the direction of all others, so that shares stray further, most where there is no axis"
)
_PARTITIONS = "partitions share pairs, so that their spread is too small"
_AT_ITS_END = "a share at its end, 0 or 1, strays to one side"
_ONE_OF_TWO = "a pair's two questions are told alike, so that one is right: the share hardly varies"
#: Estimators whose intervals are too narrow, and why; and those that are too wide.
_LIMITS = {
    Split.OBJECTS: {names.PROBE_ACCURACY.name: _PARTITIONS},
    Split.IMAGES: {},
}
_NOTES = {
    Split.OBJECTS: {},
    Split.IMAGES: {names.PROBE_ACCURACY.name: _ONE_OF_TWO, names.PROBE_CONTROL.name: _ONE_OF_TWO},
}


def _coverage(reasons: Mapping[str, str]) -> dict[tuple[str, str], str]:
    return {(name, COVERAGE): reason for name, reason in reasons.items()}


def _controls() -> list[Experiment]:
    found = []
    for pairs, an_image in _SIZES:
        size = f"{pairs} pairs, {an_image} an image"
        for space, word in ((0.0, 0.0), (0.0, 0.3), (0.05, 0.3), (0.3, 0.3), (0.3, 0.0)):
            world = ControlWorld(pairs, an_image, space=space, word=word)
            text = f"space {space}, word {word}, {size}"
            ends = _coverage({names.SPACE_SHARE.name: _AT_ITS_END, names.READOUT_SHARE.name: _AT_ITS_END})
            notes = {} if space and word else ends
            found.append(Experiment(f"counterbalanced: {text}", partial(halves, world), COVERED, notes))
            found.append(Experiment(f"readout: {text}", partial(read_out, world), COVERED, notes))
        for space, word in ((0.0, 0.0), (0.0, 0.3), (0.05, 0.3), (0.3, 0.3), (0.7, 0.0)):
            world = ControlWorld(pairs, an_image, space=space, word=word)
            text = f"squared lengths: space {space}, word {word} also in the control, {size}"
            notes = _coverage({"|alpha|^2": NOISE, "size_left": NOISE})
            found.append(Experiment(text, partial(lengths, world), COVERED if space else TESTED, notes))
        for follows in (0.0, 1.0, -1.0):
            world = ControlWorld(pairs, an_image, space=0.4, wrong=pairs // 4, follows=follows)
            text = f"a quarter of answers wrong, following {follows:+.0f}, {size}"
            found.append(Experiment(text, partial(following, world), COVERED))
        for space in (0.0, 0.05, 0.3):
            world = ControlWorld(pairs, an_image, space=space)
            text = f"direction of all other images, theta {space}, {size}"
            limits = _coverage({names.DIRECTION_ACCURACY.name: _IN_ALL})
            found.append(Experiment(text, partial(carried, world), COVERED, limits=limits))
    for split in Split:
        for pairs in (60, 120):
            text = f"untrained, probe with {split} split, {pairs} pairs"
            study = partial(probed, split, pairs=pairs)
            notes, limits = _coverage(_NOTES[split]), _coverage(_LIMITS[split])
            found.append(Experiment(text, study, 500, notes, limits=limits))
    return found


CONTROLS = _controls()
