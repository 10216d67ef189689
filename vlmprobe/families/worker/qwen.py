"""Qwen2.5-VL, every size and fine-tuning of it.

    Qwen2_5_VLForConditionalGeneration
      model                         Qwen2_5_VLModel
        visual                      vision tower -> one vector per 2x2 patches of the image
        language_model
          embed_tokens
          layers[0 .. n-1]          decoder layers: their outputs are the hidden states kept
          norm                      final norm, after the last hidden state kept
      lm_head

transformers before 4.52 has the layers at model.layers, and vision tower and positions beside the model.

Positions are three-dimensional (M-RoPE): an image takes fewer positions than tokens. They are computed from
the full prompts and always passed; the model's own guess without them is silently wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from vlmprobe.families.worker.capture import decoder_layers
from vlmprobe.families.worker.devices import pick_device, pick_dtype
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.pretrained import (
    load_chat_template,
    load_image_processor,
    load_model,
    load_tokenizer,
)
from vlmprobe.families.worker.prompts import ImagePrompts, distinct_images, pad_left
from vlmprobe.families.worker.shared_prefix import Prompts, Rows, SharedPrefixFamily
from vlmprobe.families.worker.versions import accepted, last_logits_only

try:  # The Pillow backend got a module and a name of its own in the course of transformers 5.
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil as PillowImageProcessor,
    )
except ImportError:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import (
        Qwen2VLImageProcessor as PillowImageProcessor,
    )

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.family import BatchItem, LoadOptions
    from vlmprobe.families.worker.prompts import PreparedImages

__all__ = ["Qwen25", "Tiny"]

_IMAGE_TOKEN = "<|image_pad|>"  # noqa: S105  (a word of the vocabulary, no secret)


class Qwen25(SharedPrefixFamily):
    """One loaded Qwen2.5-VL checkpoint."""

    def __init__(self, options: LoadOptions, model: Any, tokenizer: Any, prompts: ImagePrompts) -> None:
        self._prompts = prompts
        self._image_token: int = model.config.image_token_id
        layers = decoder_layers(model, options.checkpoint)
        # What knows images: before 4.52 the whole model itself.
        self._multimodal = model.model if hasattr(model.model, "visual") else model
        self._one_logit = last_logits_only(model.forward)
        dim = model.config.get_text_config().hidden_size
        super().__init__(options, model, tokenizer, layers, dim)

    @classmethod
    def load(cls, options: LoadOptions) -> Self:
        """Load a checkpoint; see :meth:`Family.load`."""
        device = pick_device(options.device)
        dtype = pick_dtype(options.dtype, device)
        model = load_model(
            Qwen2_5_VLForConditionalGeneration,
            "qwen2_5_vl",
            options.checkpoint,
            options.revision,
            dtype,
            device,
        )
        source, revision = options.processor_place
        tokenizer = load_tokenizer(source, revision)
        if tokenizer.convert_tokens_to_ids(_IMAGE_TOKEN) != model.config.image_token_id:
            raise ModelFault(
                f"{source}: its tokenizer does not have {_IMAGE_TOKEN} where the model of "
                f"{options.checkpoint} expects it; pass --processor with the model it was fine-tuned from"
            )
        # Always Pillow: torchvision's pixels differ a little, and results must not depend on the packages.
        images = load_image_processor(PillowImageProcessor, source, revision)
        template = load_chat_template(source, revision, tokenizer)
        return cls(
            options, model, tokenizer, ImagePrompts(tokenizer, images, template, model.config.image_token_id)
        )

    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Cut each distinct image into patches once; positions come from the whole prompts."""
        distinct, image_of_row = distinct_images(items)
        images = self._prompts.prepare(distinct)
        questions = [question for item in items for question in item.questions]
        prompts = [
            self._prompts.ids(question, images.tokens[image])
            for question, image in zip(questions, image_of_row, strict=True)
        ]
        ids, mask = pad_left(prompts)
        positions = self._positions(ids, mask, images.grids[image_of_row])
        return Prompts(
            ids=prompts,
            image_of_row=image_of_row,
            image_end=[len(prompt) - prompt[::-1].index(self._image_token) for prompt in prompts],
            images=images,
            positions=[positions[:, row, -len(prompt) :] for row, prompt in enumerate(prompts)],
        )

    def forward(self, rows: Rows, images: PreparedImages, cache: Any) -> tuple[Tensor, Any]:
        """Run the language model; the image's features take the place of its tokens."""
        inputs: dict[str, Any] = {"input_ids": rows.ids}
        if rows.images is not None:
            inputs = {"inputs_embeds": self._embed(rows.ids, images, rows.images)}
        output = self._model(
            **inputs,
            attention_mask=rows.mask,
            position_ids=rows.positions,
            past_key_values=cache,
            use_cache=True,
            **self._one_logit,
        )
        return output.logits[:, -1], output.past_key_values

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return text, token ids and image size of a pair's original question, as the model gets them."""
        images = self._prompts.prepare([item.image])
        return {
            "text": self._prompts.text(item.questions[0]),
            "token_ids": self._prompts.ids(item.questions[0], images.tokens[0]),
            "image_tokens": images.tokens[0],
            "image_grid_thw": images.grids[0].tolist(),
        }

    def _positions(self, ids: Tensor, mask: Tensor, grids: Tensor) -> Tensor:
        """Return M-RoPE positions, shape (3, rows, length); on the host, where its loops are quick."""
        positions: Tensor = self._multimodal.get_rope_index(
            **accepted(
                self._multimodal.get_rope_index,
                input_ids=ids,
                mm_token_type_ids=(ids == self._image_token).int(),
                image_grid_thw=grids,
                attention_mask=mask,
            )
        )[0]
        return positions

    def _embed(self, ids: Tensor, images: PreparedImages, image_of_row: Sequence[int]) -> Tensor:
        """Embed the prompts with each image's features in the place of its tokens."""
        pixels, grids = images.pixels.to(self._device), images.grids.to(self._device)
        if hasattr(self._multimodal, "get_image_features"):
            features = self._multimodal.get_image_features(pixels, grids)
            # Early releases of transformers 5, and 4.x, return the features themselves.
            per_image = getattr(features, "pooler_output", features)
        else:
            visual = self._multimodal.visual
            per_image = visual(pixels.type(visual.dtype), grid_thw=grids)
        if isinstance(per_image, torch.Tensor):
            # Some releases return all images in one piece.
            per_image = torch.split(per_image, list(images.tokens))
        embeddings: Tensor = self._model.get_input_embeddings()(ids)
        flat = torch.cat([per_image[image] for image in image_of_row]).to(embeddings.dtype)
        places = (ids == self._image_token).unsqueeze(-1).expand_as(embeddings)
        return embeddings.masked_scatter(places, flat)

    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return ids, mask and pixels; the model works out the positions itself."""
        images = self._prompts.prepare([image])
        ids = torch.tensor([self._prompts.ids(question, images.tokens[0])])
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self._image_token).int(),
            "pixel_values": images.pixels,
            "image_grid_thw": images.grids,
        }
        return {
            name: tensor.to(self._device) for name, tensor in accepted(self._model.forward, **inputs).items()
        }


class Tiny(Qwen25):
    """The demo's tiny checkpoints: Qwen2.5-VL in miniature, so the code is the same."""
