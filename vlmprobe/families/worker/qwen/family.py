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

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image as Images

from vlmprobe.families.worker.engine.capture import decoder_layers
from vlmprobe.families.worker.engine.prompts import (
    distinct_images,
    load_chat_template,
    probe_item,
    template_place,
)
from vlmprobe.families.worker.engine.shared_prefix import Prompts, Rows, SharedPrefixFamily
from vlmprobe.families.worker.environment.attention import sequences_together
from vlmprobe.families.worker.environment.versions import accepted, last_logits_only
from vlmprobe.families.worker.faults import ModelFault, OutOfMemoryError
from vlmprobe.families.worker.loading.diagnosis import preparing_images, running_first
from vlmprobe.families.worker.loading.parts import (
    OR_PROCESSOR,
    check_image_settings,
    image_configs,
    load_image_processor,
    load_tokenizer,
)
from vlmprobe.families.worker.loading.pretrained import load_model
from vlmprobe.families.worker.qwen.fused_layers import operations_for
from vlmprobe.families.worker.qwen.packed_decoder import PackedDecoder
from vlmprobe.families.worker.qwen.packing import pack
from vlmprobe.families.worker.qwen.prompts import ImagePrompts
from vlmprobe.families.worker.qwen.vision import QwenVision

try:  # The Pillow backend got a module and a name of its own in the course of transformers 5.
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil as PillowImageProcessor,
    )
except ImportError:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import (
        Qwen2VLImageProcessor as PillowImageProcessor,
    )
from vlmprobe.families.worker.weights.files import find_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Self

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem, BatchOutput, LoadOptions
    from vlmprobe.families.worker.engine.shared_prefix import Group, PreparedBatch
    from vlmprobe.families.worker.qwen.images import ResizedImages
    from vlmprobe.families.worker.qwen.packing import Pack

__all__ = ["Qwen25", "Tiny"]

_IMAGE_TOKEN = "<|image_pad|>"  # noqa: S105  (a word of the vocabulary, no secret)


class Qwen25(SharedPrefixFamily):
    """One loaded Qwen2.5-VL checkpoint."""

    copies = True
    joins = True
    least_transformers = (4, 49)

    def __init__(self, options: LoadOptions, model: Any, tokenizer: Any, prompts: ImagePrompts) -> None:
        self._prompts = prompts
        self._image_token: int = model.config.image_token_id
        layers, path = decoder_layers(model, options.checkpoint)
        # The module that handles images; before 4.52, the whole model itself.
        self._multimodal = model.model if hasattr(model.model, "visual") else model
        self._one_logit = last_logits_only(model.forward)
        dim = model.config.get_text_config().hidden_size
        super().__init__(options, model, tokenizer, layers, dim, manifest={"layers_at": path})
        self._vision: QwenVision | None = None
        self._packed: PackedDecoder | None = None
        on_gpu = self.device.type == "cuda"
        dtype = next(layers[0].parameters()).dtype
        wanted = options.compile and on_gpu
        operations, compiled = operations_for(self.device, dtype, model.config, wanted=wanted)
        visual, text = self._multimodal.visual, getattr(model.model, "language_model", None)
        with torch.inference_mode():
            if QwenVision.fits(visual):
                self._vision = QwenVision(visual, operations, pad=on_gpu)
            if text is not None and PackedDecoder.fits(text):
                self._packed = PackedDecoder(text, model.lm_head, self.info.layers, operations)
        self.info.manifest.update(
            vision_kernel="transformers" if self._vision is None else self._vision.kernel,
            decoder_kernel="transformers" if self._packed is None else "packed",
            compiled=compiled,
        )
        self._known_positions: dict[tuple[int, tuple[int, ...]], Tensor] = {}

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """See :meth:`Family.check_folder`."""
        find_weights(folder)

    @classmethod
    def load(cls, options: LoadOptions) -> Self:
        """Load a checkpoint; see :meth:`Family.load`."""
        from transformers import Qwen2_5_VLForConditionalGeneration

        check_image_settings(options, "qwen2_5_vl")
        model = load_model(Qwen2_5_VLForConditionalGeneration, "qwen2_5_vl", options)
        tokenizer = load_tokenizer(options)
        if tokenizer.convert_tokens_to_ids(_IMAGE_TOKEN) != model.config.image_token_id:
            raise ModelFault(
                f"{options.processor_place[0]}: its tokenizer does not have {_IMAGE_TOKEN} where the model of "
                f"{options.checkpoint} expects it (image_token_id: {model.config.image_token_id} in config.json); pass "
                "--processor with the model it was fine-tuned from"
            )
        # Always Pillow: torchvision's pixels differ a little, and results must not depend on the packages.
        images = load_image_processor(PillowImageProcessor, options)
        template = load_chat_template(options, tokenizer)
        token, where = model.config.image_token_id, template_place(options)
        prompts = ImagePrompts(tokenizer, images, template, token, where)
        prompts.check()
        settings = image_configs(options)
        with preparing_images(options.processor_place[0], settings, OR_PROCESSOR):
            prompts.process([Images.new("RGB", (96, 64), (128, 128, 128))])
        family = cls(options, model, tokenizer, prompts)
        item = probe_item()
        with (
            torch.inference_mode(),
            running_first(options.checkpoint, {"config.json": model.config.to_dict(), **settings}),
        ):
            model(**family.plain_inputs(item.image, item.questions[0]))
        return family

    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Resize each distinct image once; positions come from the whole prompts."""
        distinct, image_of_row = distinct_images(items)
        images = self._prompts.resize(distinct)
        questions = [question for item in items for question in item.questions]
        prompts = [
            self._prompts.ids(question, images.tokens[image])
            for question, image in zip(questions, image_of_row, strict=True)
        ]
        return Prompts(
            ids=prompts,
            image_of_row=image_of_row,
            image_end=[len(prompt) - prompt[::-1].index(self._image_token) for prompt in prompts],
            images=images.pinned() if self.device.type == "cuda" else images,
            positions=[
                self._positions(prompt, images.grids[image])
                for prompt, image in zip(prompts, image_of_row, strict=True)
            ],
        )

    def plan(self, prompts: Prompts, rows: Sequence[int], splits: Sequence[int]) -> Pack | None:
        """Lay the tokens out for the packed decoder."""
        if self._packed is None:
            return None
        first_row = {prompts.image_of_row[row]: row for row in reversed(rows)}
        distinct = sorted(first_row)
        positions = prompts.positions or ()
        pairs = [(row, splits[prompts.image_of_row[row]]) for row in rows]
        return pack(
            [prompts.ids[first_row[image]][: splits[image]] for image in distinct],
            [prompts.ids[row][split:] for row, split in pairs],
            [distinct.index(prompts.image_of_row[row]) for row in rows],
            [positions[first_row[image]][:, : splits[image]] for image in distinct],
            [positions[row][:, split:] for row, split in pairs],
            self._image_token,
        )

    def run_prepared(self, prepared: PreparedBatch) -> BatchOutput:
        """See :meth:`SharedPrefixFamily.run_prepared`; if the device is full, release the caches on it."""
        try:
            return super().run_prepared(prepared)
        except OutOfMemoryError:
            if self._packed is not None:
                self._packed.forget()
            raise

    def read_group(self, prompts: Prompts, group: Group) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Run a group's prompts packed, if the packed decoder supports this model's layers."""
        if group.plan is None or self._packed is None:
            return super().read_group(prompts, group)
        return self._packed.read(group.plan.to(self.device), self._features(prompts.images))

    def forward(self, rows: Rows, images: ResizedImages, cache: Any) -> tuple[Tensor, Any]:
        """Run the language model, with the image's features in place of its tokens."""
        inputs: dict[str, Any] = {"input_ids": rows.ids}
        if rows.images is not None:
            inputs = {"inputs_embeds": self._embed(rows.ids, images, rows.images)}
        output = self.model(
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
        images = self._prompts.resize([item.image])
        return {
            "text": self._prompts.text(item.questions[0]),
            "token_ids": self._prompts.ids(item.questions[0], images.tokens[0]),
            "image_tokens": images.tokens[0],
            "image_grid_thw": [1, *images.grids[0]],
        }

    def _positions(self, prompt: Sequence[int], grid: tuple[int, int]) -> Tensor:
        """Return the model's own M-RoPE positions, (3, length); they are cached per image size and place."""
        key = (prompt.index(self._image_token), grid)
        known = self._known_positions.get(key)
        if known is None or known.shape[1] < len(prompt):
            # After the image, every token moves on by one on each axis, so a longer prompt's are the same.
            longer = torch.tensor([[*prompt, *[0] * len(prompt)]])
            known = self._multimodal.get_rope_index(
                **accepted(
                    self._multimodal.get_rope_index,
                    input_ids=longer,
                    mm_token_type_ids=(longer == self._image_token).int(),
                    image_grid_thw=torch.tensor([[1, *grid]]),
                    attention_mask=torch.ones_like(longer),
                )
            )[0][:, 0]
            self._known_positions[key] = known
        return known[:, : len(prompt)]

    def _features(self, images: ResizedImages) -> Tensor:
        """Return the features of some images, one after the other."""
        patches = self._prompts.patches(images, self.device)
        if self._vision is not None:
            return self._vision(patches, images.grids)
        grids = torch.tensor([[1, *grid] for grid in images.grids], device=self.device)
        if not hasattr(self._multimodal, "get_image_features"):
            visual = self._multimodal.visual
            features: Tensor = visual(patches.type(visual.dtype), grid_thw=grids)
            return features
        given = self._multimodal.get_image_features(patches, grids)
        # Early releases of transformers 5, and 4.x, return the features themselves, in one piece or several.
        per_image = getattr(given, "pooler_output", given)
        return per_image if isinstance(per_image, torch.Tensor) else torch.cat(list(per_image))

    def _embed(self, ids: Tensor, images: ResizedImages, image_of_row: Sequence[int]) -> Tensor:
        """Embed the prompts with each image's features in the place of its tokens."""
        per_image = torch.split(self._features(images), list(images.tokens))
        embeddings: Tensor = self.model.get_input_embeddings()(ids)
        flat = torch.cat([per_image[image] for image in image_of_row]).to(embeddings.dtype)
        places = (ids == self._image_token).unsqueeze(-1).expand_as(embeddings)
        return embeddings.masked_scatter(places, flat)

    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return ids, mask and pixels; the model computes the positions itself."""
        # The checkpoint's own image processor, since the fast path is compared with this.
        pixels, grids, tokens = self._prompts.process([image])
        ids = torch.tensor([self._prompts.ids(question, tokens[0])])
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": (ids == self._image_token).int(),
            "pixel_values": pixels,
            "image_grid_thw": grids,
        }
        return {
            name: tensor.to(self.device) for name, tensor in accepted(self.model.forward, **inputs).items()
        }

    def reading(self) -> AbstractContextManager[None]:
        """See :meth:`PlainFamily.reading`: on a GPU, windows of one length are read together."""
        on_gpu = self.device.type == "cuda"
        return sequences_together(self._multimodal.visual) if on_gpu else nullcontext()

    def joined_inputs(self, inputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Put the questions' ids, masks and patches one after the other; see :meth:`PlainFamily.joined_inputs`."""
        return {name: torch.cat([each[name] for each in inputs]) for name in inputs[0]}


class Tiny(Qwen25):
    """The demo's tiny checkpoints: Qwen2.5-VL in miniature, so the code is the same."""
