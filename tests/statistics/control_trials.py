"""Studies of what an axis hangs on: whether the intervals that ``robustness`` prints hold the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import (
    Split,
    answer_following,
    direction_accuracy,
    probe,
    readout,
    readout_span,
    space_coherence,
    space_share,
    transfer,
    without_span,
)
from vlmprobe.analysis.geometry import axis_size, sums_of_vectors
from vlmprobe.workflows.robustness import logistic

from .control_worlds import ANSWERS, WORDS, named_objects
from .outcomes import FALSE_AXES, POWER, Outcome, covers
from .scene_world import length
from .worlds import coherence_of, directions

if TYPE_CHECKING:
    from .control_worlds import ControlWorld

__all__ = ["carried", "following", "halves", "lengths", "probed", "read_out"]

#: Pairs behind a truth that has no closed form.
_MANY = 60_000


def halves(world: ControlWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look what of an axis follows the scene, from two templates."""
    answers, canonical = world.templates(rng)
    layout = world.layout(canonical)
    space, word = length(world.space) ** 2, length(world.word) ** 2
    found = [
        covers(names.SPACE_COHERENCE.name, space_coherence(answers, layout, 0).estimate(), _of_space(world))
    ]
    if space + word:
        share = space_share(answers, layout, 0).estimate()
        found.append(covers(names.SPACE_SHARE.name, share, space / (space + word)))
    return found


def lengths(world: ControlWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look at the squared length of an axis, of what is left without its control, and whether an axis is left."""
    run, control, canonical = world.beside_control(rng)
    layout = world.layout(canonical)
    own, left = (
        axis_size(sums_of_vectors(deltas, layout).raw.products(), 0).estimate()
        for deltas in (run, run - control)
    )
    space, word = length(world.space) ** 2, length(world.word) ** 2
    adds = None if left.ci_low is None else left.ci_low > 0
    return [
        covers("|alpha|^2", own, space + word),
        covers("size_left", left, space),
        Outcome("adds_an_axis", POWER if space else FALSE_AXES, adds),
    ]


@lru_cache(maxsize=32)
def _of_space(world: ControlWorld) -> float:
    answers, canonical = replace(world, pairs=_MANY, an_image=1).templates(np.random.default_rng(31))
    return coherence_of(answers.space, canonical)


def following(world: ControlWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look whether wrong pairs follow the truth or the answer: their cosine with the axis of right ones."""
    deltas, canonical, wrong = world.answered(rng)
    found = answer_following(deltas, canonical, world.images, both_right=~wrong, both_wrong=wrong).estimate()
    return [covers(names.ANSWER_FOLLOWING.name, found, _follows(world))]


@lru_cache(maxsize=32)
def _follows(world: ControlWorld) -> float:
    if not world.follows:
        return 0.0
    many = replace(world, pairs=_MANY, wrong=_MANY, an_image=1)
    deltas, canonical, _ = many.answered(np.random.default_rng(32))
    corrected = deltas * np.where(canonical, 1.0, -1.0)[:, None] / np.linalg.norm(deltas, axis=1)[:, None]
    return float((corrected @ directions(world.dim, 1, 5)[0]).mean())


def read_out(world: ControlWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look what of an axis lies along the answer's words, and its coherence without them."""
    deltas, canonical = world.read_out(rng)
    where = {"layer": 5, "n_layers": 6, "seed": 1, "n_draws": 0}
    found = readout(deltas, world.layout(canonical), 0, world.rows(), ANSWERS, range(WORDS), **where)
    space, word = length(world.space) ** 2, length(world.word) ** 2
    left = [covers(names.WITHOUT_READOUT.name, found.coherence, _without(world))]
    if not space + word:
        return left
    return [*left, covers(names.READOUT_SHARE.name, found.share, word / (space + word))]


@lru_cache(maxsize=32)
def _without(world: ControlWorld) -> float:
    deltas, canonical = replace(world, pairs=_MANY, an_image=1).read_out(np.random.default_rng(33))
    return coherence_of(without_span(deltas, readout_span(world.rows(), ANSWERS)), canonical)


def carried(world: ControlWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look at the accuracy of a direction on its own pairs, and on those of another template.

    The truth is that of the direction that was fitted, on many other pairs.
    """
    source, target = world.axis_deltas(rng), world.axis_deltas(rng)
    ends = np.asarray(source.canonical, dtype=bool)
    direction = source.vectors[ends].mean(axis=0) - source.vectors[~ends].mean(axis=0)
    others, canonical = _others(world)
    true = float((((others @ direction) > 0) == canonical).mean()) if world.space else 0.5
    return [
        covers(names.DIRECTION_ACCURACY.name, direction_accuracy(source), true),
        covers(names.TRANSFER.name, transfer(source, target), true),
    ]


@lru_cache(maxsize=4)
def _others(world: ControlWorld) -> tuple[np.ndarray, np.ndarray]:
    many = replace(world, pairs=20_000, an_image=1).axis_deltas(np.random.default_rng(34))
    return many.vectors, np.asarray(many.canonical)


def probed(split: Split, rng: np.random.Generator, *, objects: int = 24, pairs: int = 80) -> list[Outcome]:
    """Probe an untrained model, which tells nothing; names are in its states where no object is on both sides."""
    shown = 1.0 if split is Split.OBJECTS else 0.0
    study = named_objects(rng, names=shown, objects=objects, pairs=pairs)
    found = probe(study, split, logistic(), seed=int(rng.integers(2**31)))
    return [
        covers(names.PROBE_ACCURACY.name, found.accuracy, 0.5),
        covers(names.PROBE_CONTROL.name, found.control, 0.5),
        covers(names.PROBE_SELECTIVITY.name, found.selectivity, 0.0),
    ]
