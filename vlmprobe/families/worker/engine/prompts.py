"""Chat prompts about one image: text with a placeholder that is repeated as often as the image needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image as Images

from vlmprobe.families.worker.contract import BatchItem
from vlmprobe.families.worker.faults import ModelFault, first_line, one_line
from vlmprobe.families.worker.loading.reading import path_of, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.contract import LoadOptions

__all__ = [
    "distinct_images",
    "load_chat_template",
    "pad_left",
    "probe_item",
    "render_chat",
    "template_place",
    "without_placeholder",
]


def probe_item() -> BatchItem:
    """Return an ordinary image with two questions, to find out whether and how a model runs."""
    image = Images.new("RGB", (96, 64), (200, 120, 40))
    questions = ("Is the cup left or right of it?", "Is this enormous book to the left or right of the cup?")
    return BatchItem("probe", image, questions, (("yes", "no"), ("no", "yes")))


def distinct_images(items: Sequence[BatchItem]) -> tuple[list[Image], list[int]]:
    """Return every image object once, and for each of the 2N questions the index of its image."""
    places: dict[int, int] = {}
    distinct: list[Image] = []
    for item in items:
        if id(item.image) not in places:
            places[id(item.image)] = len(distinct)
            distinct.append(item.image)
    return distinct, [places[id(item.image)] for item in items for _ in range(2)]


def pad_left(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return whole numbers as one block, (rows, longest), with zeros before shorter rows."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], dtype=torch.long)


def load_chat_template(options: LoadOptions, tokenizer: Any) -> str:
    """Return the chat template in the processor's own file, or else the tokenizer's.

    Raises:
        ModelFault: there is none.
    """
    source, revision = options.processor_place
    text = read_text(source, "chat_template.jinja", revision)
    if text is None:
        legacy = read_text(source, "chat_template.json", revision)
        text = tokenizer.chat_template if legacy is None else _template_in(source, legacy)
    if isinstance(text, dict):
        text = text.get("default")
    if not isinstance(text, str):
        raise ModelFault(
            f"{source}: no chat template (chat_template.jinja); pass --processor with the base model's"
            " folder or id"
        )
    return text


def template_place(options: LoadOptions) -> str:
    """Return the file that holds the chat template, with its folder, as messages name it."""
    source, revision = options.processor_place
    for name in ("chat_template.jinja", "chat_template.json"):
        if path_of(source, name, revision) is not None:
            return f"{source}: {name}"
    return f"{source}: tokenizer_config.json (chat_template)"


def render_chat(
    tokenizer: Any,
    template: str,
    question: str,
    where: str = "the checkpoint's chat template",
    *,
    image: bool = True,
) -> str:
    """Render the image and then the question, up to where the answer begins.

    Args:
        tokenizer: what renders it.
        template: the chat template.
        question: the text beside the image.
        where: the file that holds the template; see :func:`template_place`.
        image: False leaves the image out.

    Raises:
        ModelFault: the template is invalid, or accesses something it may not.
    """
    content = [*([{"type": "image"}] if image else []), {"type": "text", "text": question}]
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
            )
        )
    # A template is a program: what it raises is as open as what it does.
    except Exception as error:
        line = getattr(error, "lineno", None)
        said = f"line {line}: {one_line(error)}" if line else one_line(error)
        raise ModelFault(
            f"{where} cannot be used as a chat template ({said}); copy the base model's, or pass --processor with the "
            "base model's folder or id"
        ) from error


def without_placeholder(where: str) -> ModelFault:
    """Return the fault of a chat template that puts no image into the prompt."""
    return ModelFault(
        f"{where} puts no image into the prompt: what it writes has no placeholder for one; copy the base model's chat "
        "template, or pass --processor with the base model's folder or id"
    )


def _template_in(source: str, legacy: str) -> Any:
    try:
        found = json.loads(legacy)
    except (ValueError, RecursionError) as error:
        raise ModelFault(f"{source}: chat_template.json is not valid JSON: {first_line(error)}") from error
    return found.get("chat_template") if isinstance(found, dict) else None
