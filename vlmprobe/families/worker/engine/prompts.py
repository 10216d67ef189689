"""A chat prompt about one image: text with one placeholder, which each image repeats as often as it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.faults import ModelFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem

__all__ = ["distinct_images", "pad_left", "render_chat"]


def distinct_images(items: Sequence[BatchItem]) -> tuple[list[Image], list[int]]:
    """Return every image object once, and for each of the 2N questions the place of its image."""
    places: dict[int, int] = {}
    distinct: list[Image] = []
    for item in items:
        if id(item.image) not in places:
            places[id(item.image)] = len(distinct)
            distinct.append(item.image)
    return distinct, [places[id(item.image)] for item in items for _ in range(2)]


def pad_left(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids and mask, both (rows, longest); a masked token's id is never looked at, so it is 0."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def render_chat(tokenizer: Any, template: str, question: str) -> str:
    """Render the image and then the question, up to where the answer begins.

    Raises:
        ModelFault: the template is none, or reaches for what it may not.
    """
    from jinja2.exceptions import TemplateError

    content = [{"type": "image"}, {"type": "text", "text": question}]
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
            )
        )
    except (TemplateError, TypeError, RecursionError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelFault(
            f"the checkpoint's chat template cannot be used ({said}); "
            "pass --processor with the base model's folder or id"
        ) from error
