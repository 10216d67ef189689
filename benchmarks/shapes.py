"""Qwen2.5-VL in its published shapes with random weights, and scenes to ask it about: what benchmarks run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import vlmprobe
from vlmprobe.families.worker import BatchItem, LoadOptions
from vlmprobe.families.worker.qwen.family import PillowImageProcessor, Qwen25
from vlmprobe.families.worker.qwen.prompts import ImagePrompts

__all__ = [
    "BUNDLED",
    "SHAPES",
    "family_of",
    "image_processor",
    "pairs_of",
    "prompts_of",
    "random_model",
    "words_of",
]

#: Where tokenizer, chat template and settings come from: the bundled ones are Qwen's in miniature.
BUNDLED = Path(vlmprobe.__file__).parent / "demo" / "checkpoints" / "2m"

#: As in the published config.json of each size.
SHAPES: dict[str, dict[str, Any]] = {
    "3b": {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
}
_VOCABULARY = {"3b": 151936, "7b": 152064}


def random_model(shape: str, device: str, dtype: torch.dtype, seed: int = 0) -> Any:
    """Make the model on the device; weights are normal, scaled by the width they come from."""
    from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(BUNDLED)
    text = SHAPES[shape]
    config = Qwen2_5_VLConfig(
        text_config={
            **text,
            "vocab_size": _VOCABULARY[shape],
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            "bos_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": text["hidden_size"],
            "fullatt_block_indexes": [7, 15, 23, 31],
            "window_size": 112,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "hidden_act": "silu",
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=text["tie_word_embeddings"],
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = Qwen2_5_VLForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    generator = torch.Generator(device=device).manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                # Attention that picks tokens, or a question's words would change next to nothing at its last one.
                gain = 2.0 if "q_proj" in name or "k_proj" in name else 0.7
                spread = 0.3 if "embed_tokens" in name else gain / parameter[0].numel() ** 0.5
                parameter.normal_(0.0, spread, generator=generator)
            elif "norm" in name or "ln_q" in name:
                parameter.fill_(1.0)
            else:
                parameter.zero_()
    for module in model.modules():
        # Made under the half-precision default; from_pretrained keeps them in float32.
        if hasattr(module, "inv_freq"):
            module.inv_freq = _frequencies(module).to(device)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval().requires_grad_(requires_grad=False)


def image_processor() -> Any:
    """Return the published settings: an image of 640x480 stays about that size."""
    return PillowImageProcessor.from_pretrained(BUNDLED, min_pixels=3136, max_pixels=12845056)


def prompts_of(model: Any) -> ImagePrompts:
    """Return what writes prompts for a model, with the bundled tokenizer and chat template."""
    from transformers import AutoTokenizer

    template = (BUNDLED / "chat_template.jinja").read_text()
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED)
    return ImagePrompts(tokenizer, image_processor(), template, model.config.image_token_id)


def family_of(model: Any, device: str, *, compiled: bool = True) -> Qwen25:
    """Wrap a model as its family does after loading it."""
    from transformers import AutoTokenizer

    options = LoadOptions(str(BUNDLED), device=device, compile=compiled)
    return Qwen25(options, model, AutoTokenizer.from_pretrained(BUNDLED), prompts_of(model))


def pairs_of(n: int, size: tuple[int, int] = (640, 480), seed: int = 0) -> list[BatchItem]:
    """Make pairs about distinct images of one size, about as smooth as photos: noise takes a decoder far longer."""
    random = np.random.default_rng(seed)
    return [
        BatchItem(
            pair_id=f"p{number}",
            image=_photo(random, size),
            questions=words_of(number),
            answers=(("left", "right"), ("right", "left")),
        )
        for number in range(n)
    ]


def _photo(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    small = random.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def words_of(number: int) -> tuple[str, str]:
    """Return the two questions of a pair, about as long as a benchmark's."""
    things = ("red circle", "blue square", "green triangle", "yellow star", "purple mug")
    one, other = things[number % 5], things[(number + 2) % 5]
    return tuple(  # type: ignore[return-value]
        f"Is the {a} to the left or right of the {b}? Answer with only one word."
        for a, b in ((one, other), (other, one))
    )


def _frequencies(module: Any) -> torch.Tensor:
    found: torch.Tensor = (
        module.compute_default_rope_parameters(module.config)[0]
        if hasattr(module, "compute_default_rope_parameters")
        else _vision_frequencies(module)
    )
    return found.float()


def _vision_frequencies(module: Any) -> torch.Tensor:
    size = 2 * module.inv_freq.numel()
    return 1.0 / (10000.0 ** (torch.arange(0, size, 2, dtype=torch.float) / size))
