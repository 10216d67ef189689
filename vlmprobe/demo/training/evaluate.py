"""Evaluates a checkpoint on held-out scenes: accuracy by perspective and template, and delta metrics."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmprobe.analysis import axis_pairs, deltas, pairwise_cosine, sign_corrected, unit
from vlmprobe.demo.render import NOISE, render_batch
from vlmprobe.demo.sampling import sample_scenes
from vlmprobe.demo.training.lessons import canonical_relation
from vlmprobe.demo.training.model import FastForward
from vlmprobe.demo.training.steps import scenes_on
from vlmprobe.pairs.axes import SPACE, Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from vlmprobe.demo.training.config import TrainingConfig
    from vlmprobe.demo.training.lessons import Prompts

    BoolArray = npt.NDArray[np.bool_]
    FloatArray = npt.NDArray[np.float64]

__all__ = ["EvaluationRow", "evaluate"]

_PERSPECTIVES = ("consistent", "counter")
_CHUNK = 100
#: The names that the tracker gives the cosines of two axes' mean deltas.
_PAIR_NAMES = {pair: f"{pair[0]}-{pair[1]}" for pair in axis_pairs(SPACE)}


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One number; the columns are those of the tracker's metrics."""

    template: str
    perspective: str
    """``consistent``, ``counter`` or ``all``."""
    metric: str
    target: str
    """An axis, or two."""
    layer: int
    """Of the decoder, from 0; -1 for what has no layer."""
    value: float
    n: int


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers to one template's questions on one axis about n scenes."""

    correct: BoolArray
    """(n, 2): the original question, the swapped one."""
    categories: tuple[str, ...]
    states: npt.NDArray[np.float32]
    """(layers, n, 2, hidden) at the last prompt token."""


def evaluate(model: Any, config: TrainingConfig, prompts: Prompts) -> tuple[EvaluationRow, ...]:
    """Evaluate a model on the held-out scenes, on every axis, in every template, in both orders.

    Args:
        model: in float32, its weights as they are stored (rounded to bf16): the numbers are then those of the folder.
        config: of the training; ``evaluation`` says how many scenes and which.
        prompts: the table of questions.

    Returns:
        ``accuracy.orig``, ``.swap`` and ``.both`` by perspective; ``axis_coherence`` and ``vd_ei.pooled`` with its
        controls per layer (the tracker's definitions), by perspective and over all.
    """
    found: dict[tuple[str, str, Axis], _Answers] = {}
    for perspective in _PERSPECTIVES:
        for (template, axis), answers in _infer_all(model, config, prompts, perspective).items():
            found[template, perspective, axis] = answers
    rows: list[EvaluationRow] = []
    for template in prompts.templates:
        for perspective, axis in product(_PERSPECTIVES, SPACE.axes):
            rows += _accuracies(template, perspective, axis, found[template, perspective, axis].correct)
        for perspective in ("all", *_PERSPECTIVES):
            wanted = _PERSPECTIVES if perspective == "all" else (perspective,)
            parts = {axis: [found[template, each, axis] for each in wanted] for axis in SPACE.axes}
            rows += _directions(template, perspective, parts)
    return tuple(rows)


def _accuracies(template: str, perspective: str, axis: Axis, correct: BoolArray) -> list[EvaluationRow]:
    values = {"orig": correct[:, 0], "swap": correct[:, 1], "both": correct.all(1)}
    return [
        EvaluationRow(
            template, perspective, f"accuracy.{side}", str(axis), -1, float(right.mean()), right.size
        )
        for side, right in values.items()
    ]


def _directions(template: str, perspective: str, parts: dict[Axis, list[_Answers]]) -> list[EvaluationRow]:
    rows = []
    n_layers = parts[SPACE.axes[0]][0].states.shape[0]
    for layer in range(n_layers):
        means: dict[Axis, FloatArray] = {}
        for axis, answers in parts.items():
            corrected = np.concatenate(
                [
                    sign_corrected(
                        deltas(each.states[layer, :, 0], each.states[layer, :, 1]), each.categories
                    )
                    for each in answers
                ]
            )
            means[axis] = corrected.mean(0)
            coherence = pairwise_cosine(unit(corrected)[0])
            rows.append(
                EvaluationRow(
                    template, perspective, "axis_coherence", str(axis), layer, coherence.mean, coherence.n
                )
            )
        for pair, name in _PAIR_NAMES.items():
            first, second = (means[axis] for axis in pair)
            norms = float(np.linalg.norm(first) * np.linalg.norm(second))
            cosine = float(first @ second) / norms if norms > 0 else float("nan")
            n = sum(len(each.correct) for axis in pair for each in parts[axis])
            rows.append(EvaluationRow(template, perspective, "vd_ei.pooled", name, layer, cosine, n))
    return rows


@torch.no_grad()
def _infer_all(
    model: Any,
    config: TrainingConfig,
    prompts: Prompts,
    perspective: str,
) -> dict[tuple[str, Axis], _Answers]:
    """Draw one perspective's scenes and infer the answers to all questions about them."""
    device = next(model.parameters()).device
    fast = FastForward(model, prompts, config.scenes.image_size)
    number = _PERSPECTIVES.index(perspective)
    rng = np.random.Generator(np.random.PCG64([config.evaluation.seed, number]))
    n, size = config.evaluation.scenes, config.scenes.image_size
    scenes = sample_scenes(rng, np.full(n, perspective == "consistent"), config.scenes)
    subject = rng.integers(2, size=n)
    noise = torch.randn(
        n, 3, size, size, generator=torch.Generator().manual_seed(config.evaluation.seed + number)
    )
    drawn = render_batch(scenes_on(scenes, device), noise.to(device) * NOISE, torch)
    # A benchmark's images have eight bits.
    seen = fast.images_in_parts((drawn * 255).round() / 255, _CHUNK)

    answers = {}
    names = scenes.name[np.arange(n), subject], scenes.name[np.arange(n), 1 - subject]
    answer_ids = torch.from_numpy(prompts.answer_ids).to(device)
    for (t, template), (a, axis) in product(enumerate(prompts.templates), enumerate(SPACE.axes)):
        kinds = np.full(n, t), np.full(n, a)
        canonical = canonical_relation(scenes, kinds[1][:, None], subject[:, None])[:, 0]
        right, states = [], []
        for order, holds in ((names, canonical), (names[::-1], ~canonical)):
            rows = prompts.relation(*kinds, *order)
            predicted, layers = _last_tokens(fast, prompts, seen, rows)
            expected = prompts.relation_answers[t, a, holds.astype(np.int64)]
            right.append((predicted == answer_ids[torch.from_numpy(expected).to(device)]).cpu().numpy())
            states.append(layers)
        categories = tuple(str(axis.canonical if yes else axis.canonical.opposite) for yes in canonical)
        answers[template, axis] = _Answers(np.stack(right, 1), categories, np.stack(states, 2))
    return answers


def _last_tokens(
    fast: FastForward, prompts: Prompts, images: torch.Tensor, rows: Sequence[int] | npt.NDArray[np.int64]
) -> tuple[torch.Tensor, npt.NDArray[np.float32]]:
    """Return the predicted token of each prompt, and every layer's output at its last token (layers, n, hidden)."""
    device = images.device
    predicted, states = [], []
    for start in range(0, len(rows), _CHUNK):
        chosen = np.asarray(rows[start : start + _CHUNK])
        lengths = prompts.lengths[chosen]
        # Only as long as the longest prompt; computing more would be wasted.
        ids = torch.from_numpy(prompts.ids[chosen, : int(lengths.max())]).to(device)
        outputs = fast.text(images[start : start + _CHUNK], ids)
        last = torch.from_numpy(fast.n_before + fast.n_image + lengths - 1).to(device)
        at = torch.arange(len(chosen), device=device)
        predicted.append(fast.logits(outputs[-1][at, last]).argmax(-1))
        states.append(torch.stack([output[at, last] for output in outputs]).float().cpu().numpy())
    return torch.cat(predicted), np.concatenate(states, 1)
