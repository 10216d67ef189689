"""LLaVA 1.5 for vlmprobe: an image is a fixed number of tokens, the language model is causal."""

import torch
from transformers import CLIPImageProcessorPil, LlavaForConditionalGeneration

from vlmprobe.families.worker.api import (
    Prompts,
    SharedPrefixFamily,
    distinct_images,
    load_image_processor,
    load_model,
    load_tokenizer,
)


class Llava(SharedPrefixFamily):
    """One loaded LLaVA checkpoint."""

    def __init__(self, options, model):
        self.images = load_image_processor(CLIPImageProcessorPil, options)
        vision = model.config.vision_config
        self.n_image_tokens = (vision.image_size // vision.patch_size) ** 2
        self.image_token = model.config.image_token_id
        layers, dim = model.model.language_model.layers, model.config.text_config.hidden_size
        super().__init__(options, model, load_tokenizer(options), layers, dim)

    @classmethod
    def load(cls, options):
        return cls(options, load_model(LlavaForConditionalGeneration, "llava", options))

    def prompts(self, items):
        images, image_of_row = distinct_images(items)
        ids = [self._ids(question) for item in items for question in item.questions]
        ends = [len(row) - row[::-1].index(self.image_token) for row in ids]
        return Prompts(ids=ids, image_of_row=image_of_row, image_end=ends, images=self._pixels(images))

    def forward(self, rows, images, cache):
        inputs = {"input_ids": rows.ids, "attention_mask": rows.mask, "position_ids": rows.positions}
        if rows.images is not None:
            inputs["pixel_values"] = images[list(rows.images)]
        output = self.model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1], output.past_key_values

    def plain_inputs(self, image, question):
        ids = torch.tensor([self._ids(question)], device=self.device)
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": self._pixels([image]),
        }

    def _ids(self, question):
        return self.tokenizer(f"USER: {'<image>' * self.n_image_tokens}\n{question} ASSISTANT:")["input_ids"]

    def _pixels(self, images):
        rgb = [image.convert("RGB") for image in images]
        return self.images(images=rgb, return_tensors="pt")["pixel_values"].to(self.device, self.model.dtype)
