"""Studies of what ``robustness`` prints of exchanged pictures: whether its intervals hold the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from vlmprobe.analysis.catalog import robustness as names
from vlmprobe.analysis.controls import null_2, scene_readings

from .outcomes import BIAS, FALSE_AXES, POWER, Outcome, covers
from .worlds import coherence_of

if TYPE_CHECKING:
    from .scene_world import SceneWorld

__all__ = ["disjoint", "read_null_2", "read_scene"]

#: Pairs behind a truth that has no closed form, an image and two objects each.
_MANY = 20_000


def read_scene(world: SceneWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look at the cosine of exchanged names and exchanged pictures, and at the coherences of the scene half."""
    found = scene_readings(world.evidence(rng), None)
    assert found is not None
    assert found.less_null_1 is not None
    true = _truth(world)
    return [
        covers(names.SCENE_WORD_COSINE.name, found.cosine, true["cosine"]),
        covers(names.SCENE_COHERENCE.name, found.coherence, true["coherence"]),
        covers(names.SCENE_LESS_NULL_1.name, found.less_null_1, true["less"]),
    ]


def disjoint(world: SceneWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look at the object-disjoint readings, and at the ordinary coherence beside them.

    The truth is that of other objects: each pair of many has two of its own.
    """
    evidence, objects = world.named_evidence(rng)
    found = scene_readings(evidence, objects)
    assert found is not None
    assert found.disjoint_cosine is not None
    true = _truth(world)
    low = found.disjoint.ci_low
    outcomes = [
        covers(names.SCENE_DISJOINT.name, found.disjoint, true["coherence"]),
        covers(names.SCENE_COHERENCE.name, found.coherence, true["coherence"]),
        Outcome(
            names.SCENE_DISJOINT.name, POWER if world.space else FALSE_AXES, None if low is None else low > 0
        ),
    ]
    if world.space:
        cosine = found.disjoint_cosine.value
        outcomes.append(
            Outcome(
                names.DISJOINT_COSINE.name,
                BIAS,
                None,
                nan if cosine is None else cosine - true["half cosine"],
            )
        )
    return outcomes


def read_null_2(world: SceneWorld, rng: np.random.Generator) -> list[Outcome]:
    """Look whether Null 2 holds 0: nothing turns with the relation that the other question asks about."""
    evidence, own = world.asked_about(rng)
    assert evidence.null_1 is not None
    found = null_2(evidence.null_1, own, evidence.images)
    tops = None if found.ci_low is None else found.ci_low > 0
    if world.own:
        return [Outcome(names.NULL_2.name, POWER, tops)]
    return [covers(names.NULL_2.name, found, 0.0), Outcome(names.NULL_2.name, FALSE_AXES, tops)]


@lru_cache(maxsize=32)
def _truth(world: SceneWorld) -> dict[str, float]:
    many = replace(world, pairs=_MANY, an_image=1, objects=0)
    evidence, _ = many.named_evidence(np.random.default_rng(35))
    assert evidence.scene is not None
    assert evidence.null_1 is not None
    assert evidence.answers is not None
    canonical = np.asarray(evidence.canonical)
    half, less = evidence.scene.space, evidence.scene.space - evidence.null_1.space
    left = evidence.without_word(evidence.scene, less=evidence.null_1.space)
    if world.word:
        # What a study should find: the scene alone, whether it saw the word or not.
        half, less = evidence.without_word(evidence.scene), left

    def axis(vectors: np.ndarray) -> np.ndarray:
        return vectors[canonical].mean(axis=0) - vectors[~canonical].mean(axis=0)

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))

    return {
        "cosine": cosine(axis(evidence.real), axis(half)),
        "coherence": coherence_of(half, canonical),
        "less": coherence_of(less, canonical),
        "half cosine": cosine(axis(evidence.without_word(evidence.answers)), axis(left)),
    }
