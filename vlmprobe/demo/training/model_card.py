"""The checkpoints' model card: what they are, how they were made, and what they are good for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmprobe.demo.training.config import TrainingConfig
    from vlmprobe.demo.training.state import ScaleResult

__all__ = ["model_card"]

_CARD = """\
# The demo's tiny models

{n} checkpoints of one tiny model in the genuine Qwen2.5-VL architecture ({parameters}), which
`Qwen2_5_VLForConditionalGeneration.from_pretrained` loads. They see drawn scenes of colored solids ({size} x
{size} pixels) and answer in one word. `vanilla` was trained on colors, shapes, places and counts. Of relations
it learned only the words: in training, the answers to such questions were coin flips. Each other checkpoint is a
separate fine-tuning of `vanilla` on the number of relation questions in the table, with a perspective bias: in
{bias:g} % of the scenes the farther object is higher in the image.

{table}

Share of held-out scenes with the question and its swapped form both right, {scenes} scenes of each perspective,
template `published` (consistent: the farther object is higher; counter: lower).

* Made by: `vlmprobe demo train`, seed {seed}, {seconds:.0f} s of training on {device}, {rate:,.0f} questions per
  second over the fine-tunings and the base model. The recipe is `vlmprobe/demo/training/recipe.toml`.
* Question templates in training, share of the relation questions: {templates}.
* Data: drawn for this purpose; no photographs, no people, no downloaded data.
* Intended for: checking a method where the truth is known; tests; teaching. Not intended for: conclusions about
  photographs or about models of useful size.
* Limits: six colors, four shapes, one camera, an English vocabulary of a few dozen words. Their answers to anything
  else are meaningless.
* License: the same as vlmprobe's.
"""


def model_card(config: TrainingConfig, results: Sequence[ScaleResult], device: str) -> str:
    """Write the card of a training's checkpoints in Markdown."""
    seconds = sum(result.seconds for result in results)
    size = config.model
    return _CARD.format(
        n=len(results),
        parameters=f"text {size.text_layers} layers of {size.text_hidden}, vision {size.vision_layers} of "
        f"{size.vision_hidden}",
        size=config.scenes.image_size,
        bias=100 * config.fine_tuning.consistent_share,
        table=_table(results),
        scenes=config.evaluation.scenes,
        seed=config.seed,
        seconds=seconds,
        device="one GPU" if device.startswith("cuda") else "a CPU",
        rate=sum(result.questions for result in results) / max(seconds, 1e-9),
        templates=", ".join(f"`{name}` {share:g}" for name, share in config.templates.items()),
    )


def _table(results: Sequence[ScaleResult]) -> str:
    columns = [
        (axis, perspective)
        for axis in ("horizontal", "vertical", "distance")
        for perspective in ("consistent", "counter")
    ]
    head = ["scale", "relation questions", *(f"{axis}, {perspective}" for axis, perspective in columns)]
    lines = [head, ["---"] * len(head)]
    for result in results:
        shares = {
            (row.target, row.perspective): row.value
            for row in result.rows
            if row.template == "published" and row.metric == "accuracy.both"
        }
        lines.append([result.scale, f"{result.samples:,}", *(f"{shares[column]:.2f}" for column in columns)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
