"""Any image-text-to-text model of transformers; the library supplies everything about the architecture.

    AutoModelForImageTextToText
      get_decoder()                 the language model, wherever the architecture keeps it
        layers[0 .. n-1]            decoder layers, counted against config.get_text_config()
    the processor's chat template   writes the prompt; the processor expands the image's placeholder

Each image goes through the processor once, with the first question about it. The other questions reuse the
processor's output up to the end of the image and append their own text. A test run determines whether a model
is causal: the states of a token must not change when a later token does.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vlmprobe.families.worker.auto.checkpoint import check_known
from vlmprobe.families.worker.auto.decoder_search import find_decoder_layers
from vlmprobe.families.worker.auto.processors import load_image_text_processor
from vlmprobe.families.worker.auto.splice import Splice
from vlmprobe.families.worker.engine.capture import LastTokenCapture
from vlmprobe.families.worker.engine.prompts import (
    distinct_images,
    pad_left,
    probe_item,
    render_chat,
    template_place,
    without_placeholder,
)
from vlmprobe.families.worker.engine.shared_prefix import Prompts, Rows, SharedPrefixFamily
from vlmprobe.families.worker.faults import ModelFault
from vlmprobe.families.worker.loading.diagnosis import preparing_images, running_first
from vlmprobe.families.worker.loading.parts import OR_PROCESSOR, check_image_settings, image_configs
from vlmprobe.families.worker.loading.pretrained import load_model
from vlmprobe.families.worker.loading.reading import quiet
from vlmprobe.families.worker.weights.files import find_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from PIL.Image import Image
    from torch import Tensor

    from vlmprobe.families.worker.contract import BatchItem, LoadOptions

__all__ = ["Auto"]

#: What a processor returns per token, besides ids and mask.
_PER_TOKEN = ("token_type_ids", "mm_token_type_ids")
_TEXT = ("input_ids", "attention_mask", *_PER_TOKEN)
#: Far above rounding in any number format, far below the effect of attending to later tokens.
_MAX_CAUSAL_CHANGE = 0.02


@dataclass(frozen=True)
class _Prepared:
    """The distinct images of a batch, as the processor prepares them for the model."""

    pixels: dict[str, Any]
    """Pixel values and whatever describes them, all images together."""
    kinds: dict[str, list[list[int]]]
    """For each name in :data:`_PER_TOKEN` and each image, the values of the first question."""

    @classmethod
    def of(cls, made: dict[str, Any]) -> Self:
        """Divide a processor's output into what belongs to the images and what to each token."""
        pixels = {name: value for name, value in made.items() if name not in _TEXT}
        return cls(pixels, {name: _unpadded(made, name) for name in _PER_TOKEN if name in made})


class Auto(SharedPrefixFamily):
    """One loaded image-text-to-text model."""

    copies = True
    least_transformers = (4, 49)

    def __init__(self, options: LoadOptions, model: Any, processor: Any) -> None:
        self._processor = processor
        self._template = _chat_template(options, processor)
        self._where = template_place(options)
        self._forward_knows = set(inspect.signature(model.forward).parameters)
        layers, path = find_decoder_layers(model, options.checkpoint)
        dim = model.config.get_text_config().hidden_size
        backend = getattr(processor.image_processor, "backend", None) or "pil"
        manifest = {"layers_at": path, "image_backend": str(backend), "model_type": model.config.model_type}
        super().__init__(options, model, processor.tokenizer, layers, dim, manifest=manifest)
        settings = image_configs(options)
        with preparing_images(options.processor_place[0], settings, OR_PROCESSOR):
            try:
                self._splices = self._can_splice()
            except Exception:
                if not self._places_image():
                    raise without_placeholder(self._where) from None
                raise
        with (
            torch.inference_mode(),
            running_first(options.checkpoint, {"config.json": model.config.to_dict(), **settings}),
        ):
            self.causal = self._is_causal(layers)
        self.info.manifest.update(causal=self.causal, shared_prefix=self._shares)

    @classmethod
    def check_folder(cls, folder: Path) -> None:
        """See :meth:`Family.check_folder`."""
        find_weights(folder)

    @classmethod
    def load(cls, options: LoadOptions) -> Self:
        """Load a checkpoint; see :meth:`Family.load`."""
        from transformers import AutoModelForImageTextToText

        model_type = check_known(options)
        check_image_settings(options)
        model = load_model(AutoModelForImageTextToText, None, options, own_code=True)
        return cls(options, model, load_image_text_processor(options, model_type))

    @property
    def _shares(self) -> bool:
        return self._splices and self.causal

    def prompts(self, items: Sequence[BatchItem]) -> Prompts:
        """Run the processor on each distinct image with its first question; splice in the other questions."""
        images, image_of_row = distinct_images(items)
        texts = [self._text_of(question) for item in items for question in item.questions]
        if not self._shares:
            # The processor gets each question together with its image.
            images, image_of_row = [images[image] for image in image_of_row], list(range(len(texts)))
        first = [texts[image_of_row.index(image)] for image in range(len(images))]
        made = self._process(images, first)
        ids = _unpadded(made, "input_ids")
        ends = list(map(len, ids))
        if self._shares:
            splices = [Splice(self._tokenize(text), row) for text, row in zip(first, ids, strict=True)]
            ids = [
                splices[i].apply(self._tokenize(text)) for i, text in zip(image_of_row, texts, strict=True)
            ]
            ends = [splices[image].end for image in image_of_row]
        prepared = _Prepared.of(made)
        positions = self._positions(ids, image_of_row, prepared)
        return Prompts(ids, image_of_row, ends, prepared, positions)

    def forward(self, rows: Rows, images: _Prepared, cache: Any) -> tuple[Tensor, Any]:
        """Run the model's own forward; pass pixels only along with their image tokens."""
        inputs: dict[str, Any] = {}
        if rows.images is not None:
            inputs = self._to_device(images.pixels)
            for name, of_image in images.kinds.items():
                lengths = rows.mask.sum(dim=1).tolist()
                values = [_stretch(of_image[i], n) for i, n in zip(rows.images, lengths, strict=True)]
                inputs[name] = pad_left(values).to(self.device)
        output = self.model(
            input_ids=rows.ids,
            attention_mask=rows.mask,
            position_ids=rows.positions,
            past_key_values=cache,
            use_cache=True,
            **self._known({**inputs, "logits_to_keep": 1}),
        )
        return output.logits[:, -1], output.past_key_values

    def plain_inputs(self, image: Image, question: str) -> dict[str, Any]:
        """Return the processor's output for one image and one question."""
        made = self._process([image], [self._text_of(question)])
        # The unpadded row, whatever the processor pads to.
        row = made["attention_mask"][0].bool()
        made |= {name: made[name][:, row] for name in _TEXT if name in made}
        return self._known(self._to_device(made))

    def first_prompt(self, item: BatchItem) -> dict[str, Any]:
        """Return the template's text and the expanded token ids of a pair's original question."""
        return {**super().first_prompt(item), "text": self._text_of(item.questions[0])}

    def _text_of(self, question: str) -> str:
        # Rendered by the tokenizer, since some processors look for their video part first.
        return render_chat(self.tokenizer, self._template, question, self._where)

    def _process(self, images: Sequence[Image], texts: Sequence[str]) -> dict[str, Any]:
        with quiet():
            made = self._processor(
                images=[[image.convert("RGB")] for image in images],
                text=list(texts),
                padding=True,
                return_tensors="pt",
                **self._begins(texts[0]),
            )
        # Some processors also return the labels of a training step.
        return {name: value for name, value in made.items() if name != "labels"}

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, **self._begins(text))["input_ids"]
        return ids

    def _begins(self, text: str) -> dict[str, Any]:
        """Keep the tokenizer from adding a begin token if the chat template has written one."""
        begin = self.tokenizer.bos_token
        return {"add_special_tokens": False} if begin and text.startswith(begin) else {}

    def _to_device(self, inputs: dict[str, Any]) -> dict[str, Any]:
        def move(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            value = value.to(self.device)
            return value.to(self.model.dtype) if value.is_floating_point() else value

        return {name: move(value) for name, value in inputs.items()}

    def _known(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if "kwargs" in self._forward_knows:
            # Some tokenizers return token types for any model, but generate rejects unused arguments.
            unused = {"token_type_ids"} - self._forward_knows
            return {name: value for name, value in inputs.items() if name not in unused}
        return {name: value for name, value in inputs.items() if name in self._forward_knows}

    def _positions(
        self,
        ids: Sequence[Sequence[int]],
        image_of_row: Sequence[int],
        images: _Prepared,
    ) -> list[Tensor] | None:
        """Return positions on several axes (M-RoPE), (axes, length) per row; None if the model has none."""
        # Before 4.52 it is a method of the whole model.
        places = (self.model.model, self.model)
        rope = next((place.get_rope_index for place in places if hasattr(place, "get_rope_index")), None)
        if rope is None or "image_grid_thw" not in images.pixels:
            return None
        known = inspect.signature(rope).parameters
        positions = []
        for row, image in zip(ids, image_of_row, strict=True):
            arguments = {
                "input_ids": torch.tensor([list(row)]),
                "image_grid_thw": images.pixels["image_grid_thw"][image : image + 1],
                "attention_mask": torch.ones(1, len(row), dtype=torch.long),
            }
            for name, of_image in images.kinds.items():
                arguments[name] = torch.tensor([_stretch(of_image[image], len(row))])
            found = rope(**{name: value for name, value in arguments.items() if name in known})[0]
            positions.append(found[:, 0].cpu())
        return positions

    def _can_splice(self) -> bool:
        """Return whether splicing a question yields the same tokens as the processor."""
        item = probe_item()
        orig, swap = (self._text_of(question) for question in item.questions)
        made = [self._process([item.image], [text]) for text in (orig, swap)]
        expanded, wanted = (_unpadded(each, "input_ids")[0] for each in made)
        try:
            return Splice(self._tokenize(orig), expanded).apply(self._tokenize(swap)) == wanted
        except ValueError:
            return False

    def _places_image(self) -> bool:
        """Return whether the chat template writes something for an image; some processors need nothing."""
        return self._text_of("?") != render_chat(
            self.tokenizer, self._template, "?", self._where, image=False
        )

    def _is_causal(self, layers: Any) -> bool:
        """Return whether the states before the last token stay the same when that token changes."""
        item = probe_item()
        inputs = self.plain_inputs(item.image, item.questions[0])
        states = []
        for shift in (0, 1):
            ids = inputs["input_ids"].clone()
            ids[0, -1] = ids[0, -2] if shift else ids[0, -1]
            if shift and ids[0, -1] == inputs["input_ids"][0, -1]:
                ids[0, -1] = ids[0, -3]
            with LastTokenCapture([layers[-1]], index=-2) as capture:
                self.model(**{**inputs, "input_ids": ids})
            states.append(capture.stacked().float())
        change = (states[1] - states[0]).norm() / states[0].norm()
        return bool(change < _MAX_CAUSAL_CHANGE)


def _unpadded(made: dict[str, Any], name: str) -> list[list[int]]:
    """Return what a processor made for each token of each prompt, without padding."""
    rows = zip(made[name], made["attention_mask"], strict=True)
    return [values[mask.bool()].tolist() for values, mask in rows]


def _stretch(values: Sequence[int], length: int) -> list[int]:
    """Truncate a prompt's values to a length, or extend them with the last one."""
    return list(values[:length]) + [values[-1]] * (length - len(values))


def _chat_template(options: LoadOptions, processor: Any) -> str:
    template = processor.chat_template or processor.tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str):
        raise ModelFault(
            f"{options.processor or options.checkpoint}: no chat template (chat_template.jinja); put one next to the "
            "processor's files, or pass --processor with a folder or id that has one"
        )
    return template
