"""NVILA and its fine-tunings, through the ``llava`` package (VILA) or the code of the Hugging Face preview form.

    LlavaLlamaModel                 (preview form: VILAForCausalLM)
      vision_tower                  SigLIP, over each tile of an image
      mm_projector                  its features, 2x2 or 3x3 patches in one token
      encoders["image"]             both, and the newline's embedding after each tile
      llm                           Qwen2ForCausalLM, or what llm/config.json names
        model
          embed_tokens
          layers[0 .. n-1]          decoder layers: their outputs are the hidden states kept
          norm
        lm_head

A prompt holds one ``<image>`` token per tile (or image), which stands for as many embeddings as the tile has
features. Here that token is repeated once per feature. ``generate`` gets a prompt as embeddings, so that no
logits processor sees its words; the same holds here.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from vlmprobe.families.worker.engine.decoding import greedy_options
from vlmprobe.families.worker.engine.prompts import distinct_images, probe_item
from vlmprobe.families.worker.engine.shared_prefix import Prompts, Rows, SharedPrefixFamily
from vlmprobe.families.worker.environment.versions import last_logits_only
from vlmprobe.families.worker.faults import ModelFault, UsageFault
from vlmprobe.families.worker.loading.devices import pick_device, pick_dtype
from vlmprobe.families.worker.loading.diagnosis import running_first
from vlmprobe.families.worker.loading.pretrained import loading_faults
from vlmprobe.families.worker.loading.reading import quiet
from vlmprobe.families.worker.nvila.code import load_with_llava, load_with_own_code
from vlmprobe.families.worker.nvila.folder import check_filled, check_parts, open_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType
    from typing import Self

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem, LoadOptions
    from vlmprobe.families.worker.nvila.folder import NvilaFolder

__all__ = ["Nvila"]

#: Tiles to encode at once; the vision tower keeps the output of every layer in memory.
_TILES_AT_ONCE = 32


@dataclass(frozen=True)
class _Tiles:
    """One image as input of the vision tower."""

    pixels: Tensor
    """(tiles, 3, height, width), on the host."""
    placeholders: int
    """How many ``<image>`` tokens stand for it in a prompt: one per tile, or one for all."""
    settings: dict[str, Any]
    """What llava calls the media's config: the arrangement of each scale's tiles."""

    blocks: int = 1
    """How many tiles' features one placeholder stands for."""


class Nvila(SharedPrefixFamily):
    """One loaded NVILA checkpoint."""

    embedded = True

    def __init__(
        self,
        options: LoadOptions,
        model: Any,
        code: ModuleType,
        found: NvilaFolder,
        manifest: dict[str, Any],
    ) -> None:
        self._code: Any = code
        self._llm = model.llm
        self._config = model.config
        self._own_code = found.brings_code
        self._image_token: int = model.tokenizer.media_token_ids["image"]
        self._one_logit = last_logits_only(model.llm.forward)
        # What generate_content would pass, whatever the language model's own generation_config.json says.
        self._llm.generation_config = copy.deepcopy(model.default_generation_config)
        layers = self._llm.model.layers
        if len(layers) != found.n_layers:
            raise ModelFault(
                f"{options.checkpoint}: found {len(layers)} decoder layers, but llm_cfg in config.json "
                f"says {found.n_layers}; use the config.json that belongs to these weights"
            )
        revision = {"revision": found.commit} if found.commit else {}
        super().__init__(
            options,
            model,
            model.tokenizer,
            layers,
            self._llm.config.hidden_size,
            language_model=self._llm,
            manifest={
                **manifest,
                **revision,
                "layers_at": "llm.model.layers",
                "language_backbone": found.backbone,
                "attention": self._llm.config._attn_implementation,
                "vision_attention": "sdpa",
                "images": self._config.image_aspect_ratio,
            },
        )
        with torch.inference_mode(), running_first(options.checkpoint, found.settings):
            self._ends, self._tile_tokens = self._measure()
            item = probe_item()
            self.plain_logits(self.plain_inputs(item.image, item.questions[0]))

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """See :meth:`Family.check_folder`; each part is a folder of its own."""
        check_parts(folder)

    @classmethod
    def load(cls, options: LoadOptions) -> Self:
        """Load a checkpoint; see :meth:`Family.load`."""
        device = pick_device(options.device)
        dtype = pick_dtype(options.dtype, device)
        if options.processor not in (None, options.checkpoint):
            raise UsageFault(
                "omit --processor: NVILA's tokenizer and image processor are in the checkpoint (llm/, "
                "vision_tower/)"
            )
        found = open_folder(options)
        with quiet(), loading_faults(options.checkpoint, device, found.configs):
            if found.brings_code:
                model, code, manifest = load_with_own_code(found.folder, dtype, device)
            else:
                model, code, manifest = load_with_llava(found.folder, options.checkpoint, dtype, device)
        parts = {
            "llm": model.llm,
            "vision_tower": model.vision_tower.vision_tower,
            "mm_projector": model.mm_projector,
        }
        check_filled(options.checkpoint, found, model, parts)
        return cls(options, model.eval().requires_grad_(requires_grad=False), code, found, manifest)

    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Cut each distinct image once, on the host; repeat its token once per feature."""
        distinct, image_of_row = distinct_images(items)
        tiles = [self._tiles(image) for image in distinct]
        questions = [question for item in items for question in item.questions]
        ids = [
            self._expand(self._write(distinct[image], question, tiles[image]), tiles[image])
            for question, image in zip(questions, image_of_row, strict=True)
        ]
        return Prompts(
            ids=ids,
            image_of_row=image_of_row,
            image_end=[len(row) - row[::-1].index(self._image_token) for row in ids],
            images=tiles,
        )

    def forward(self, rows: Rows, images: Sequence[_Tiles], cache: Any) -> tuple[Tensor, Any]:
        """Run the language model, with each image's features in place of its tokens."""
        embeddings: Tensor = self._llm.get_input_embeddings()(rows.ids)
        if rows.images is not None:
            distinct = sorted(set(rows.images))
            encoded = dict(zip(distinct, self._encode([images[place] for place in distinct]), strict=True))
            features = torch.cat([encoded[image] for image in rows.images]).to(embeddings.dtype)
            places = (rows.ids == self._image_token).unsqueeze(-1).expand_as(embeddings)
            embeddings = embeddings.masked_scatter(places, features)
        output = self._llm(
            inputs_embeds=embeddings,
            attention_mask=rows.mask,
            position_ids=rows.positions,
            # Without one, releases before 4.48 return tuples.
            past_key_values=DynamicCache() if cache is None else cache,
            use_cache=True,
            **self._one_logit,
        )
        return output.logits[:, -1], output.past_key_values

    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return ids with one token per tile, and the tiles; the model embeds and encodes them itself."""
        tiles = self._tiles(image)
        ids = torch.tensor([self._write(image, question, tiles)], device=self.device)
        return {
            "input_ids": ids,
            "media": {"image": list(self._on_device(tiles.pixels))},
            "media_config": {"image": tiles.settings},
            "attention_mask": torch.ones_like(ids, dtype=torch.bool),
        }

    def plain_tokens(self, inputs: dict[str, Any]) -> list[int]:
        """Return the answer's tokens by the model's own greedy ``generate``, which returns no others."""
        options = greedy_options(self._llm, self.tokenizer)
        if self._own_code:
            options["return_output_ids_only"] = True
        tokens: list[int] = self.model.generate(**inputs, **options)[0].tolist()
        return tokens

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return text, token ids as the language model gets them, and the number of tiles of a pair's question."""
        tiles = self._tiles(item.image)
        written = self._write(item.image, item.questions[0], tiles)
        return {
            "text": self.tokenizer.decode(written),
            "token_ids": self._expand(written, tiles),
            "tiles": len(tiles.pixels),
        }

    def _tiles(self, image: Image) -> _Tiles:
        """Cut one image into tiles, as ``generate_content`` does."""
        config, tower = self._config, self.model.vision_tower
        # llava's functions look for the processor in the config.
        config.image_processor = tower.image_processor
        settings: dict[str, Any] = {}
        joined = 1
        if config.image_aspect_ratio == "dynamic":
            pixels = self._code.process_image(image, config, None, enable_dynamic_res=True)
        elif config.image_aspect_ratio == "dynamic_s2":
            if isinstance(config.s2_scales, str):
                config.s2_scales = [int(scale) for scale in config.s2_scales.split(",")]
            pixels, blocks = self._code.process_image(image, config, None, enable_dynamic_s2=True)
            settings = {"block_sizes": [blocks]}
            # The scales' features are resized to one of the scales; only the last has the image's own shape.
            chosen = tower.resize_output_to_scale_idx % len(tower.scales)
            last = chosen == len(tower.scales) - 1
            joined = blocks[0] * blocks[1] if last else (tower.scales[chosen] // tower.scales[0]) ** 2
        else:
            pixels = self._code.process_images([image], tower.image_processor, config)
        one_each = config.image_aspect_ratio == "dynamic"
        return _Tiles(pixels, len(pixels) if one_each else 1, settings, joined)

    def _write(self, image: Image, question: str, tiles: _Tiles) -> list[int]:
        """Return the prompt's ids: a user's message of an image and a question, up to where the answer begins."""
        messages: list[dict[str, Any]] = [{"from": "human", "value": [image, question]}]
        # It takes placeholders out of the question, and puts one where the image was.
        self._code.extract_media(messages, self._config)
        if self._config.image_aspect_ratio == "dynamic":
            text = messages[0]["value"].replace("<image>", "<image>\n" * tiles.placeholders)
            messages[0]["value"] = text
        ids: list[int] = self._code.tokenize_conversation(
            messages, self.tokenizer, add_generation_prompt=True
        ).tolist()
        return ids

    def _expand(self, written: Sequence[int], tiles: _Tiles) -> list[int]:
        """Repeat the image's token as often as each placeholder has features."""
        length = self._ends + tiles.blocks * self._tile_tokens
        return [token for each in written for token in [each] * (length if each == self._image_token else 1)]

    def _measure(self) -> tuple[int, int]:
        """Return how many embeddings surround a placeholder's features, and how many features a tile has.

        All tiles have the same size, so one image is enough to measure.
        """
        from PIL import Image as Images

        encoder, tiles = self.model.encoders["image"], self._tiles(Images.new("RGB", (64, 64)))
        around = (text for text in (encoder.start_tokens, encoder.end_tokens) if text is not None)
        ends = sum(len(self.tokenizer(text)["input_ids"]) for text in around)
        (encoded,) = self._encode([tiles])
        return ends, (len(encoded) // tiles.placeholders - ends) // tiles.blocks

    def _encode(self, images: Sequence[_Tiles]) -> list[Tensor]:
        """Return the features of each image, (tokens, dim); several images at once."""
        features: list[Tensor] = []
        group: list[_Tiles] = []
        for place, image in enumerate(images):
            group.append(image)
            full = sum(len(each.pixels) for each in group) >= _TILES_AT_ONCE
            if full or place == len(images) - 1:
                features += self._encode_together(group)
                group = []
        return features

    def _encode_together(self, images: Sequence[_Tiles]) -> list[Tensor]:
        blocks = [block for image in images for block in image.settings.get("block_sizes", ())]
        settings = {"block_sizes": blocks} if blocks else {}
        pixels = self._on_device(torch.cat([image.pixels for image in images]))
        encoded = iter(self.model.encoders["image"](list(pixels), settings))
        return [torch.cat([next(encoded) for _ in range(image.placeholders)]) for image in images]

    def _on_device(self, pixels: Tensor) -> Tensor:
        """Move pixels to the model's device, in its number format."""
        parameter = next(self._llm.parameters())
        return pixels.to(parameter.device, parameter.dtype)
