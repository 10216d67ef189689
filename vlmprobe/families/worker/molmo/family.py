"""Molmo (the first generation), in Hugging Face form or in that of its training code.

    Molmo                           modeling_molmo.py of the checkpoint, or olmo.model
      vision_backbone               an overview and up to 12 crops -> one vector per 2x2 patches
      transformer
        wte                         embedding; the image's vectors are added to its tokens' embeddings
        blocks[0 .. n-1]            decoder layers: their outputs, tuples, are the hidden states kept
        ln_f                        final norm, after the last hidden state kept
        ff_out

Both classes share one design and take the same arguments; only loading and preprocessing differ (hub_form.py,
olmo_form.py). The KV cache is a list of (keys, values). Molmo itself pads on the right. With the whole mask
and all positions, it reads rows that are padded on the left just as well, which the fast path relies on.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.engine.prompts import distinct_images, probe_item
from vlmprobe.families.worker.engine.shared_prefix import Prompts, Rows, SharedPrefixFamily
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.loading.diagnosis import preparing_images, running_first
from vlmprobe.families.worker.loading.places import is_local, local_folder
from vlmprobe.families.worker.molmo.generation_host import GenerationHost, generation_config_of
from vlmprobe.families.worker.molmo.hub_form import load_hub
from vlmprobe.families.worker.molmo.olmo_form import CONFIG, WEIGHTS, load_native, tokenizer_place
from vlmprobe.families.worker.weights.files import check_links, find_weights, hint, refuse_adapter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem, LoadOptions
    from vlmprobe.families.worker.molmo.inputs import LoadedMolmo, PreparedImage

    Cache = list[tuple[Tensor, Tensor]]

__all__ = ["Molmo"]


class Molmo(SharedPrefixFamily):
    """One loaded Molmo checkpoint."""

    requires = ("einops",)

    def __init__(self, options: LoadOptions, loaded: LoadedMolmo) -> None:
        self._core = loaded.core
        self._inputs = loaded.inputs
        config = self._core.config
        if not (config.rope and config.use_position_ids):
            raise ModelFault(
                f"{options.checkpoint}: this Molmo does not accept positions, so it cannot be run; "
                "its config must set rope and use_position_ids to true, as all published ones do"
            )
        layers = self._core.transformer.blocks
        device = next(layers[0].parameters()).device
        self._host = GenerationHost(generation_config_of(options, loaded.inputs.tokenizer), device)
        manifest = {"attention": str(getattr(config.attention_type, "value", config.attention_type))}
        super().__init__(
            options,
            loaded.model,
            loaded.inputs.tokenizer,
            layers,
            config.d_model,
            language_model=self._host,
            manifest={**loaded.manifest, **manifest},
        )

    @classmethod
    def resolve(cls, options: LoadOptions) -> LoadOptions:
        """See :meth:`Family.resolve`; olmo's form keeps the tokenizer where its config says."""
        options = super().resolve(options)
        if options.processor is None and _is_native(options.checkpoint):
            return replace(options, processor=tokenizer_place(options.checkpoint))
        return options

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """See :meth:`Family.check_folder`; each form has one file that the other does not read."""
        if _is_native(str(folder)):
            refuse_adapter(folder, WEIGHTS)
        else:
            find_weights(folder)
            if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
                raise ModelFault(
                    f"{folder}: a Molmo in both of its forms (config.json with its weights, and {CONFIG} with "
                    f"{WEIGHTS}); move one of them out of the folder"
                )

    @classmethod
    def load(cls, options: LoadOptions) -> Self:
        """Load a checkpoint in either form; see :meth:`Family.load`."""
        load = load_native if _is_native(options.checkpoint) else load_hub
        with _kernels_kept():
            loaded = load(options)
        _prepare(loaded.core)
        _try_preprocessing(options, loaded)
        family = cls(options, loaded)
        item = probe_item()
        with torch.inference_mode(), running_first(options.checkpoint, {**loaded.configs, **loaded.settings}):
            family.plain_logits(family.plain_inputs(item.image, item.questions[0]))
        return family

    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Cut each distinct image into crops once; the questions follow its tokens."""
        images, image_of_row = distinct_images(items)
        questions = [question for item in items for question in item.questions]
        prepared = [
            self._inputs.prepare(image, questions[image_of_row.index(place)])
            for place, image in enumerate(images)
        ]
        return Prompts(
            ids=[
                [*prepared[image].head, *self._inputs.text_ids(question)]
                for question, image in zip(questions, image_of_row, strict=True)
            ],
            image_of_row=image_of_row,
            image_end=[len(prepared[image].head) for image in image_of_row],
            images=prepared,
        )

    def forward(
        self, rows: Rows, images: Sequence[PreparedImage], cache: Cache | None
    ) -> tuple[Tensor, Cache]:
        """Run the language model, adding each image's vectors to the embeddings of its tokens."""
        embeddings = self._core.transformer.wte(rows.ids)
        if rows.images is not None:
            features = {image: self._encode(images[image]) for image in set(rows.images)}
            begins = (rows.ids.shape[1] - rows.mask.sum(dim=1)).tolist()
            for row, (image, begin) in enumerate(zip(rows.images, begins, strict=True)):
                places = images[image].places.to(self.device).flatten()
                used = places >= 0
                embeddings[row, places[used] + begin] += features[image][used]
        output = self._core(
            input_ids=None,
            input_embeddings=embeddings,
            attention_mask=rows.mask,
            position_ids=rows.positions,
            past_key_values=cache,
            use_cache=True,
            last_logits_only=True,
        )
        return output.logits[:, -1], output.attn_key_values

    def select_rows(self, cache: Cache, rows: Tensor) -> Cache:
        """Return the cache with these rows; Molmo's is a list of (keys, values), rows first."""
        return [(keys[rows], values[rows]) for keys, values in cache]

    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return the preprocessed input for one image and one question, unpadded."""
        prepared = self._inputs.prepare(image, question)
        ids = [*prepared.head, *self._inputs.text_ids(question)]
        return {
            "input_ids": torch.tensor([ids], device=self.device),
            "images": self._crops(prepared),
            "image_masks": self._masks(prepared),
            "image_input_idx": prepared.places[None].to(self.device),
        }

    def plain_logits(self, inputs: dict[str, Any]) -> Tensor:
        """Return the logits after the prompt; the model computes mask and positions itself."""
        logits: Tensor = self._core(**inputs, last_logits_only=True).logits[:, -1]
        return logits

    def plain_tokens(self, inputs: dict[str, Any]) -> list[int]:
        """Return the answer's tokens by a greedy loop; ``generate_from_batch`` fails on new transformers."""
        output = self._core(**inputs, use_cache=True, last_logits_only=True)
        cache: Cache = output.attn_key_values

        def step(tokens: Tensor) -> Tensor:
            nonlocal cache
            past = cache[0][0].shape[-2]
            output = self._core(
                input_ids=tokens,
                attention_mask=torch.ones((1, past + 1), dtype=torch.long, device=self.device),
                position_ids=torch.tensor([[past]], device=self.device),
                past_key_values=cache,
                use_cache=True,
                last_logits_only=True,
            )
            cache = output.attn_key_values
            logits: Tensor = output.logits[:, -1]
            return logits

        answers, _ = self._decoder.decode(inputs["input_ids"].tolist(), output.logits[:, -1], step)
        return answers[0]

    def output_layer(self) -> Any:
        """See :meth:`PlainFamily.output_layer`; olmo's class has no method that returns it."""
        layers = self._core.transformer
        return layers.wte if self._core.config.weight_tying else layers.ff_out

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return text, token ids and number of crops of a pair's original question, as the model gets them."""
        prompts = self.prompts([item])
        image: PreparedImage = prompts.images[0]
        return {
            "text": self._inputs.text(item.questions[0]),
            "token_ids": list(prompts.ids[0]),
            "image_tokens": int((image.places >= 0).sum()),
            "crops": len(image.crops),
        }

    def _encode(self, image: PreparedImage) -> Tensor:
        """Return an image's vectors, (crops x image tokens of a crop, dim), as a forward over it alone has them."""
        features = self._core.vision_backbone(self._crops(image), self._masks(image))
        # The remote code also returns the features of the tower's class token.
        features = features[0] if isinstance(features, tuple) else features
        vectors: Tensor = features.flatten(0, 2)
        return vectors

    def _crops(self, image: PreparedImage) -> Tensor:
        return image.crops[None].to(self.device, next(self._core.parameters()).dtype)

    def _masks(self, image: PreparedImage) -> Tensor | None:
        return None if image.masks is None else image.masks[None].to(self.device)


def _is_native(checkpoint: str) -> bool:
    """Return whether this is a folder in olmo's form.

    Raises:
        ModelFault: it is a folder in neither form, or none at all.
    """
    if not is_local(checkpoint):
        return False
    folder = local_folder(checkpoint)
    check_links(folder)
    if (folder / "config.json").is_file():
        return False
    if not (folder / "config.yaml").is_file():
        raise ModelFault(
            f"{checkpoint}: no config.json (Hugging Face form) and no config.yaml (olmo's form) in this folder; "
            f"{hint(folder)}"
        )
    return True


def _try_preprocessing(options: LoadOptions, loaded: LoadedMolmo) -> None:
    """Prepare an ordinary image, so that any failure shows before the first batch.

    Raises:
        ModelFault: the checkpoint's preprocessing fails, or writes another prompt than this family.
    """
    item = probe_item()
    otherwise = ", or use other versions of its packages"
    source = options.checkpoint if CONFIG in loaded.settings else options.processor_place[0]
    with preparing_images(source, loaded.settings, otherwise):
        loaded.inputs.prepare(item.image, item.questions[0])


def _prepare(core: Any) -> None:
    """Unify the forward of both forms: rotary tables on the right device, one number format for vision.

    olmo runs in bfloat16 only under autocast. The remote code runs without it, thanks to two casts; where
    olmo lacks them, hooks add them here. In float32 they change nothing.
    """
    for value in vars(core).values():
        if type(value).__name__ == "BufferCache":
            value.clear()  # filled for the first GPU, if there is one; refilled where the model runs

    def to_own_format(_module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (features,) = inputs
        return (features.to(next(core.parameters()).dtype),)

    def to_float32(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        return output.float()

    # Padding is marked in float32; everything after that is in the model's own format.
    core.vision_backbone.image_feature_dropout.register_forward_pre_hook(to_own_format)
    for module in core.vision_backbone.modules():
        if type(module).__name__ == "ViTMultiHeadDotProductAttention" and module.config.float32_attention:
            module.wv.register_forward_hook(
                to_float32
            )  # queries and keys are float32 already, values must be too


@contextmanager
def _kernels_kept() -> Iterator[None]:
    """Restore the attention kernels of the whole process, which building a Molmo changes."""
    cuda: Any = torch.backends.cuda
    flash, efficient = cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled()
    try:
        yield
    finally:
        cuda.enable_flash_sdp(flash)
        cuda.enable_mem_efficient_sdp(efficient)
