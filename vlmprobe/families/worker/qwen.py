"""Qwen2.5-VL, every size and fine-tuning of it.

    Qwen2_5_VLForConditionalGeneration
      model                         Qwen2_5_VLModel
        visual                      vision tower -> one vector per 2x2 patches of the image
        language_model
          embed_tokens
          layers[0 .. n-1]          decoder layers: their outputs are the hidden states kept
          norm                      final norm, after the last hidden state kept
      lm_head

Positions are three-dimensional (M-RoPE): an image takes fewer positions than tokens. They are computed from
the full prompts and always passed; the model's own guess without them is silently wrong.
"""

from __future__ import annotations

import inspect
import platform
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from transformers import Qwen2_5_VLForConditionalGeneration

from vlmprobe.families.worker.capture import LastTokenCapture, decoder_layers, kept_layers, to_numpy
from vlmprobe.families.worker.decoding import GreedyDecoder, greedy_options
from vlmprobe.families.worker.devices import pick_device, pick_dtype, reporting_full_memory
from vlmprobe.families.worker.family import BatchItem, BatchOutput, Family, LoadOptions, ModelInfo
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.margins import MarginReader
from vlmprobe.families.worker.pretrained import (
    load_chat_template,
    load_image_processor,
    load_model,
    load_tokenizer,
    quiet,
)
from vlmprobe.families.worker.prompts import ImagePrompts, distinct_images, pad_left

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

    from vlmprobe.families.worker.prompts import PreparedImages

__all__ = ["Qwen25", "Tiny"]

_IMAGE_TOKEN = "<|image_pad|>"  # noqa: S105  (a word of the vocabulary, no secret)


class Qwen25(Family):
    """One loaded Qwen2.5-VL checkpoint."""

    def __init__(self, options: LoadOptions, model: Any, tokenizer: Any, prompts: ImagePrompts) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._prompts = prompts
        self._device: torch.device = model.device
        self._image_token: int = model.config.image_token_id
        modules = decoder_layers(model, options.checkpoint)
        kept = kept_layers(options.layers, len(modules))
        self._modules = [modules[layer] for layer in kept]
        self._margins = MarginReader(tokenizer)
        with torch.inference_mode(), quiet():
            self._decoder = GreedyDecoder(model, tokenizer)
        self.info = ModelInfo(
            n_layers=len(modules),
            layers=kept,
            dim=model.config.get_text_config().hidden_size,
            dtype=str(model.dtype).removeprefix("torch."),
            device=str(self._device),
            manifest=self._manifest(options),
        )

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
        source = options.processor or options.checkpoint
        revision = options.revision if options.processor is None else None
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

    @torch.inference_mode()
    def run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer N pairs in one left-padded batch of 2N questions; each image is prepared and encoded once.

        Pairs that hold the same image object share its encoding.
        """
        return reporting_full_memory(lambda: self._run_batch(items))

    def _run_batch(self, items: Sequence[BatchItem]) -> BatchOutput:
        distinct, image_of_row = distinct_images(items)
        images = self._prompts.prepare(distinct)
        questions = [question for item in items for question in item.questions]
        prompts = [
            self._prompts.ids(question, images.tokens[image])
            for question, image in zip(questions, image_of_row, strict=True)
        ]
        ids, mask = pad_left(prompts)
        positions = self._positions(ids, mask, images.grids[image_of_row])
        next_position = positions.amax(dim=(0, 2)) + 1

        ids, mask, positions = (tensor.to(self._device) for tensor in (ids, mask, positions))
        embeddings = self._embed(ids, images, image_of_row)
        with LastTokenCapture(self._modules) as capture:
            output = self._model(
                inputs_embeds=embeddings,
                attention_mask=mask,
                position_ids=positions,
                use_cache=True,
                logits_to_keep=1,
            )
        step = _Step(self._model, output.past_key_values, mask, next_position.to(self._device))
        logits = output.logits[:, -1]
        answers = [answer for item in items for answer in item.answers]
        margins = self._margins.read(logits, answers)
        with quiet():
            new = self._decoder.decode(prompts, logits, step)
        return self._output(items, capture.stacked(), [self._text(tokens) for tokens in new], margins)

    @torch.inference_mode()
    def run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        """Answer each question alone and unpadded, through the model's own forward and ``generate``."""
        return reporting_full_memory(lambda: self._run_plain(items))

    def _run_plain(self, items: Sequence[BatchItem]) -> BatchOutput:
        states, texts, margins = [], [], []
        options = greedy_options(self._model, self._tokenizer)
        for item in items:
            for question, answer in zip(item.questions, item.answers, strict=True):
                inputs = self._plain_inputs(item.image, question)
                with LastTokenCapture(self._modules) as capture:
                    logits = self._model(**inputs).logits[:, -1]
                states.append(capture.stacked())
                margins.append(self._margins.read(logits, [answer]))
                with quiet():
                    sequence = self._model.generate(**inputs, **options)[0]
                texts.append(self._text(sequence[inputs["input_ids"].shape[1] :].tolist()))
        stacked = torch.cat(states, dim=1) if states else torch.empty(0)
        return self._output(items, stacked, texts, np.concatenate([*margins, np.empty(0)]))

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return text, token ids and image size of a pair's original question, as the model gets them."""
        images = self._prompts.prepare([item.image])
        return {
            "text": self._prompts.text(item.questions[0]),
            "token_ids": self._prompts.ids(item.questions[0], images.tokens[0]),
            "image_tokens": images.tokens[0],
            "image_grid_thw": images.grids[0].tolist(),
        }

    def _output(
        self,
        items: Sequence[BatchItem],
        states: Tensor,
        texts: Sequence[str],
        margins: np.ndarray[Any, np.dtype[np.float64]],
    ) -> BatchOutput:
        n_pairs = len(items)
        return BatchOutput(
            pair_ids=tuple(item.pair_id for item in items),
            states=to_numpy(states).reshape(len(self._modules), n_pairs, 2, self.info.dim),
            dtype=self.info.dtype,
            texts=tuple((texts[2 * pair], texts[2 * pair + 1]) for pair in range(n_pairs)),
            margins=margins.reshape(n_pairs, 2),
        )

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def _positions(self, ids: Tensor, mask: Tensor, grids: Tensor) -> Tensor:
        """Return M-RoPE positions, shape (3, rows, length); on the host, where its loops are quick."""
        positions: Tensor = self._model.model.get_rope_index(
            **_accepted(
                self._model.model.get_rope_index,
                input_ids=ids,
                mm_token_type_ids=(ids == self._image_token).int(),
                image_grid_thw=grids,
                attention_mask=mask,
            )
        )[0]
        return positions

    def _embed(self, ids: Tensor, images: PreparedImages, image_of_row: Sequence[int]) -> Tensor:
        """Embed the prompts with each image's features in the place of its tokens."""
        features = self._model.model.get_image_features(
            images.pixels.to(self._device), images.grids.to(self._device)
        )
        # Early releases of transformers 5 return the features themselves.
        per_image = getattr(features, "pooler_output", features)
        embeddings: Tensor = self._model.get_input_embeddings()(ids)
        flat = torch.cat([per_image[image] for image in image_of_row]).to(embeddings.dtype)
        places = (ids == self._image_token).unsqueeze(-1).expand_as(embeddings)
        return embeddings.masked_scatter(places, flat)

    def _plain_inputs(self, image: Image, question: str) -> dict[str, Tensor]:
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
            name: tensor.to(self._device) for name, tensor in _accepted(self._model.forward, **inputs).items()
        }

    def _manifest(self, options: LoadOptions) -> dict[str, Any]:
        model = self._model
        on_gpu = self._device.type == "cuda"
        return {
            "architecture": type(model).__name__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
            "device_name": torch.cuda.get_device_name(self._device) if on_gpu else platform.machine(),
            "dtype": str(model.dtype).removeprefix("torch."),
            "attention": model.config._attn_implementation,
            "image_backend": "pil",
            "processor": options.processor or options.checkpoint,
            "revision": getattr(model.config, "_commit_hash", None) or options.revision,
            "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
            "end_tokens": sorted(self._decoder.end_tokens),
            "logits_processors": list(self._decoder.processor_names),
            "decoding": "greedy",
            "max_new_tokens": greedy_options(model, self._tokenizer)["max_new_tokens"],
        }


class Tiny(Qwen25):
    """The demo's tiny checkpoints: Qwen2.5-VL in miniature, so the code is the same."""


class _Step:
    """One decoding step after another on the KV cache; text has the same position on all three axes."""

    def __init__(self, model: Any, cache: Any, mask: Tensor, position: Tensor) -> None:
        self._model = model
        self._cache = cache
        self._mask = mask
        self._position = position

    def __call__(self, tokens: Tensor) -> Tensor:
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)], dim=1)
        output = self._model(
            input_ids=tokens,
            attention_mask=self._mask,
            position_ids=self._position.view(1, -1, 1).expand(3, -1, 1),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._position = self._position + 1
        logits: Tensor = output.logits[:, -1]
        return logits


def _accepted(function: Any, **arguments: Any) -> dict[str, Any]:
    """Keep the arguments that this version of transformers knows."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in arguments.items() if name in known}
