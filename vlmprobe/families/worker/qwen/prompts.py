"""Chat prompts of the Qwen models: text with one image placeholder, repeated as often as the image needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmprobe.families.worker.engine.prompts import render_chat, without_placeholder
from vlmprobe.families.worker.qwen.images import ImagePatches, ResizedImages

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from PIL.Image import Image
    from torch import Tensor


__all__ = ["ImagePrompts"]


class ImagePrompts:
    """Combines tokenizer, image processor and chat template.

    transformers' own processor for these models cannot be made without torchvision, for its video half.
    """

    def __init__(
        self,
        tokenizer: Any,
        image_processor: Any,
        template: str,
        image_token: int,
        where: str = "the checkpoint's chat template",
    ) -> None:
        self._tokenizer = tokenizer
        self._image_processor = image_processor
        self._template = template
        self._image_token = image_token
        self._where = where
        self._patches = ImagePatches.of(image_processor)

    def text(self, question: str) -> str:
        """Render one user message, the image and then the question, up to where the answer begins."""
        return render_chat(self._tokenizer, self._template, question, self._where)

    def check(self) -> None:
        """Check that a prompt holds an image.

        Raises:
            ModelFault: the template cannot be rendered, or writes no placeholder.
        """
        if self._image_token not in self._tokenizer(self.text("?"))["input_ids"]:
            raise without_placeholder(self._where)

    def ids(self, question: str, image_tokens: int) -> list[int]:
        """Return the prompt's token ids with the placeholder repeated ``image_tokens`` times.

        Raises:
            ValueError: the prompt does not hold the placeholder exactly once.
        """
        ids: list[int] = self._tokenizer(self.text(question))["input_ids"]
        if ids.count(self._image_token) != 1:
            raise ValueError(
                f"the prompt holds the image placeholder {ids.count(self._image_token)} times, not once"
            )
        place = ids.index(self._image_token)
        return ids[:place] + [self._image_token] * image_tokens + ids[place + 1 :]

    def resize(self, images: Sequence[Image]) -> ResizedImages:
        """Resize images on the host, as the checkpoint's settings say.

        A processor that is not supported here makes the patches itself, on the host.
        """
        if self._patches is not None:
            return self._patches.resize(images)
        pixels, grids, tokens = self.process(images)
        return ResizedImages(pixels, tuple((height, width) for _, height, width in grids.tolist()), tokens)

    def patches(self, images: ResizedImages, device: torch.device) -> Tensor:
        """Return resized images as normalized patches on a device, (patches, values of a patch)."""
        if self._patches is not None:
            return self._patches.patches(images, device)
        return images.pixels.to(device, non_blocking=True)

    def process(self, images: Sequence[Image]) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Let the checkpoint's own processor make patches, grids (time, height, width) and numbers of tokens."""
        prepared = self._image_processor(
            images=[image.convert("RGB") for image in images],
            return_tensors="pt",
            input_data_format="channels_last",
        )
        grids: Tensor = prepared["image_grid_thw"]
        per_token = self._image_processor.merge_size**2
        return prepared["pixel_values"], grids, tuple((grids.prod(dim=1) // per_token).tolist())
