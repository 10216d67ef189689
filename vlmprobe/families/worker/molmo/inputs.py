"""The input of a Molmo, whichever code prepares it: image tokens with their crops, then the question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.suspects import Configs

__all__ = ["IMAGE_TOKENS", "LoadedMolmo", "MolmoInputs", "PreparedImage"]

#: Every Molmo's tokenizer has these, after the language model's own tokens.
IMAGE_TOKENS = ("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<|image|>")


@dataclass(frozen=True)
class PreparedImage:
    """An image, cut into an overview and crops."""

    head: list[int]
    """The prompt's tokens up to the end of the image."""
    crops: Tensor
    """(crops, patches, values of a patch), float32."""
    masks: Tensor | None
    """(crops, patches): the share of a patch that is image, not border; None if the model does not use it."""
    places: Tensor
    """(crops, image tokens of a crop): the place in ``head`` each one's features are added to; negative: nowhere."""


class MolmoInputs(ABC):
    """Tokenizer and image preprocessing of one checkpoint."""

    def __init__(self, tokenizer: Any) -> None:
        """Keep the tokenizer.

        Raises:
            ValueError: it has no image tokens.
        """
        self.tokenizer = tokenizer
        self.image_tokens = dict(zip(IMAGE_TOKENS, image_token_ids(tokenizer), strict=True))

    @abstractmethod
    def text(self, question: str) -> str:
        """Write what follows the image, up to where the answer begins."""

    @abstractmethod
    def process(self, image: Image, question: str) -> tuple[Sequence[int], Any, Any, Any]:
        """Return the prompt's token ids, crops, masks (or None) and places of an RGB image, as NumPy or torch."""

    def text_ids(self, question: str) -> list[int]:
        """Return the tokens of what follows the image.

        Raises:
            ValueError: the question holds a token that stands for an image.
        """
        ids: list[int] = self.tokenizer.encode(self.text(question), add_special_tokens=False)
        if not set(ids).isdisjoint(self.image_tokens.values()):
            raise ValueError(f"remove the model's image token from question {question!r}")
        return ids

    def prepare(self, image: Image, question: str) -> PreparedImage:
        """Cut an image into crops; the question's own tokens are removed again.

        Raises:
            ValueError: the prompt does not end with the question as this class writes it.
        """
        text = self.text_ids(question)
        ids, crops, masks, places = self.process(image.convert("RGB"), question)
        prompt = [int(token) for token in ids]
        if prompt[-len(text) :] != text:
            raise ValueError("the prompt does not end with the question")
        return PreparedImage(
            head=prompt[: -len(text)],
            crops=torch.as_tensor(crops),
            masks=None if masks is None else torch.as_tensor(masks),
            places=torch.as_tensor(places).long(),
        )


@dataclass(frozen=True)
class LoadedMolmo:
    """A Molmo from either form, ready to run."""

    model: Any
    """The whole model."""
    core: Any
    """The module that runs: olmo's ``Molmo``, or the remote code's class derived from it."""
    inputs: MolmoInputs
    manifest: dict[str, Any]
    configs: Configs
    """What the model was made of, by the name of its file."""
    settings: Configs
    """What its preprocessing was made of."""


def image_token_ids(tokenizer: Any) -> list[int]:
    """Return the ids of :data:`IMAGE_TOKENS`.

    Raises:
        ValueError: the tokenizer lacks one.
    """
    ids: list[int] = tokenizer.encode("".join(IMAGE_TOKENS), add_special_tokens=False)
    if len(ids) != len(IMAGE_TOKENS):
        raise ValueError(f"it has no tokens {' '.join(IMAGE_TOKENS)}")
    return ids
