"""Tiny randomly initialised models of the architectures of transformers, saved like published checkpoints.

Each has a few hundred tokens, a decoder of a few small layers, a vision tower of two, and the processor files
and the chat template that its architecture needs. Nothing is downloaded; the weights come from a fixed seed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Molmo2Config,
    Molmo2ForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["LAYERS", "NATIVE", "save_checkpoint", "siglip_like", "text_like", "tokenizer_of"]

#: Decoder layers of every model here.
LAYERS = 3
_DIM = 32
_TEXT = {
    "hidden_size": _DIM,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
_CHAT = """\
{%- for message in messages -%}
<|im_start|>{{ message['role'] }}
{% for part in message['content'] -%}
{%- if part['type'] == 'image' -%}IMAGE{%- else -%}{{ part['text'] }}{%- endif -%}
{%- endfor -%}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""


def tokenizer_of(special: Sequence[str], **named: str) -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer without merges: 256 bytes and the special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={byte: place for place, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def save_checkpoint(
    folder: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    image: str,
    image_processor: dict[str, Any],
    processor: dict[str, Any],
) -> None:
    """Write a checkpoint's folder; ``image`` is what the chat template writes for an image."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                # The usual 0.02 would leave the residual stream, and every delta, to the embeddings alone.
                parameter.normal_(0.0, 0.6 / parameter.shape[-1] ** 0.5)
            elif "norm" not in name:
                parameter.normal_(0.0, 0.1)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.eos_token_id = end
    model.generation_config.pad_token_id = end
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(_CHAT.replace("IMAGE", image))
    (folder / "preprocessor_config.json").write_text(json.dumps(image_processor))
    (folder / "processor_config.json").write_text(json.dumps(processor))


def _ids(tokenizer: PreTrainedTokenizerFast, **tokens: str) -> dict[str, int]:
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in tokens.items()}


def _qwen_tokenizer() -> PreTrainedTokenizerFast:
    special = [
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    return tokenizer_of(special, eos_token="<|im_end|>", pad_token="<|im_end|>")


def _qwen_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return _ids(
        tokenizer,
        image_token_id="<|image_pad|>",
        video_token_id="<|video_pad|>",
        vision_start_token_id="<|vision_start|>",
        vision_end_token_id="<|vision_end|>",
    )


_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def qwen2_vl(folder: Path) -> None:
    """Qwen2-VL: patches of any number, M-RoPE."""
    tokenizer = _qwen_tokenizer()
    torch.manual_seed(0)
    config = Qwen2VLConfig(
        text_config={
            **_TEXT,
            "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": _DIM, "num_heads": 2, "patch_size": 14},
        **_qwen_ids(tokenizer),
        tie_word_embeddings=False,
    )
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": 56 * 56,
        "max_pixels": 112 * 112,
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    model = Qwen2VLForConditionalGeneration(config)
    save_checkpoint(folder, model, tokenizer, _QWEN_IMAGE, settings, {"processor_class": "Qwen2VLProcessor"})


def qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: M-RoPE, and features of the tower's inner layers added in the first decoder layers."""
    tokenizer = _qwen_tokenizer()
    torch.manual_seed(0)
    config = Qwen3VLConfig(
        text_config={
            **_TEXT,
            "head_dim": 8,
            "vocab_size": len(tokenizer),
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 16,
            "out_hidden_size": _DIM,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_qwen_ids(tokenizer),
        tie_word_embeddings=False,
    )
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "size": {"shortest_edge": 64 * 64, "longest_edge": 128 * 128},
        "patch_size": 16,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    model = Qwen3VLForConditionalGeneration(config)
    save_checkpoint(folder, model, tokenizer, _QWEN_IMAGE, settings, {"processor_class": "Qwen3VLProcessor"})


def text_like(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return a small decoder's config."""
    return {**_TEXT, "model_type": "qwen2", "vocab_size": len(tokenizer)}


def llava_onevision(folder: Path) -> None:
    """LLaVA-OneVision: an image and crops of it, padding cut away."""
    tokenizer = tokenizer_of(
        ["<|im_start|>", "<|im_end|>", "<image>", "<video>"], eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    torch.manual_seed(0)
    grid = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = LlavaOnevisionConfig(
        text_config=text_like(tokenizer),
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "vision_use_head": False,
        },
        image_grid_pinpoints=grid,
        vision_aspect_ratio="anyres_max_9",
        **_ids(tokenizer, image_token_id="<image>", video_token_id="<video>"),
        tie_word_embeddings=False,
    )
    settings = {
        "image_processor_type": "LlavaOnevisionImageProcessor",
        "size": {"height": 28, "width": 28},
        "image_grid_pinpoints": grid,
    }
    processor = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": 4,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": "anyres_max_9",
    }
    save_checkpoint(
        folder, LlavaOnevisionForConditionalGeneration(config), tokenizer, "<image>\n", settings, processor
    )


def internvl(folder: Path) -> None:
    """InternVL: a number of tiles that depends on the image's shape."""
    tokens = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = tokenizer_of(
        ["<|im_start|>", "<|im_end|>", *tokens.values()],
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens=tokens,
    )
    torch.manual_seed(0)
    config = InternVLConfig(
        text_config=text_like(tokenizer),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [56, 56],
            "patch_size": [14, 14],
        },
        image_seq_length=4,
        **_ids(tokenizer, image_token_id="<IMG_CONTEXT>"),
        tie_word_embeddings=False,
    )
    settings = {
        "image_processor_type": "GotOcr2ImageProcessor",
        "size": {"height": 56, "width": 56},
        "crop_to_patches": True,
        "min_patches": 1,
        "max_patches": 4,
    }
    processor = {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    save_checkpoint(
        folder, InternVLForConditionalGeneration(config), tokenizer, "<IMG_CONTEXT>\n", settings, processor
    )


def smolvlm(folder: Path) -> None:
    """SmolVLM: an image split into tiles with tokens for their rows and columns."""
    named = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<|im_end|>",
    }
    places = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = tokenizer_of(
        ["<|im_start|>", "<|im_end|>", "<image>", "<fake_token_around_image>", "<global-img>", *places],
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens=named,
    )
    torch.manual_seed(0)
    config = SmolVLMConfig(
        text_config={**_TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
        },
        scale_factor=2,
        **_ids(tokenizer, image_token_id="<image>"),
        tie_word_embeddings=False,
    )
    settings = {
        "image_processor_type": "SmolVLMImageProcessor",
        "do_image_splitting": True,
        "max_image_size": {"longest_edge": 56},
        "size": {"longest_edge": 112},
    }
    processor = {"processor_class": "SmolVLMProcessor", "image_seq_len": 4}
    save_checkpoint(
        folder, SmolVLMForConditionalGeneration(config), tokenizer, "<image>", settings, processor
    )


def siglip_like(size: int) -> dict[str, Any]:
    """Return a small vision tower's config."""
    return {
        "model_type": "siglip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": size,
        "patch_size": 14,
        "vision_use_head": False,
    }


def paligemma(folder: Path) -> None:
    """PaliGemma: every prompt token sees every other, so nothing can be shared."""
    tokenizer = tokenizer_of(
        ["<pad>", "<eos>", "<bos>", "<image>", "<|im_start|>", "<|im_end|>"],
        eos_token="<eos>",
        pad_token="<pad>",
        bos_token="<bos>",
        extra_special_tokens={"image_token": "<image>"},
    )
    torch.manual_seed(0)
    config = PaliGemmaConfig(
        text_config={**_TEXT, "model_type": "gemma", "head_dim": 8, "vocab_size": len(tokenizer)},
        vision_config={**siglip_like(28), "projection_dim": _DIM},
        projection_dim=_DIM,
        **_ids(tokenizer, image_token_id="<image>"),
    )
    settings = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 28, "width": 28},
        "image_seq_length": 4,
    }
    save_checkpoint(
        folder,
        PaliGemmaForConditionalGeneration(config),
        tokenizer,
        "<image>",
        settings,
        {"processor_class": "PaliGemmaProcessor"},
    )


def gemma3(folder: Path) -> None:
    """Gemma 3: image tokens see each other, most layers a window only."""
    named = {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = tokenizer_of(
        ["<pad>", "<eos>", "<bos>", *named.values(), "<|im_start|>", "<|im_end|>"],
        eos_token="<eos>",
        pad_token="<pad>",
        bos_token="<bos>",
        extra_special_tokens=named,
    )
    torch.manual_seed(0)
    config = Gemma3Config(
        text_config={
            **_TEXT,
            "head_dim": 8,
            "vocab_size": len(tokenizer),
            "sliding_window": 512,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
        vision_config=siglip_like(56),
        mm_tokens_per_image=4,
        **_ids(
            tokenizer,
            image_token_id="<image_soft_token>",
            boi_token_id="<start_of_image>",
            eoi_token_id="<end_of_image>",
        ),
    )
    settings = {
        "image_processor_type": "Gemma3ImageProcessor",
        "size": {"height": 56, "width": 56},
        "do_pan_and_scan": False,
    }
    processor = {"processor_class": "Gemma3Processor", "image_seq_length": 4}
    save_checkpoint(
        folder, Gemma3ForConditionalGeneration(config), tokenizer, "<start_of_image>", settings, processor
    )


def molmo2(folder: Path) -> None:
    """Molmo2: overlapping crops whose patches are pooled by attention; image tokens see each other."""
    parts = ["<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<low_res_im_start>", "<im_low>"]
    frames = ["<frame_start>", "<frame_end>", "<|video|>"]
    tokenizer = tokenizer_of(
        ["<|im_start|>", "<|im_end|>", "<|image|>", *parts, *frames],
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
    )
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = Molmo2Config(
        text_config={**_TEXT, "head_dim": 8, "vocab_size": len(tokenizer), "additional_vocab_size": 0},
        vision_config={
            **heads,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "image_size": [56, 56],
            "patch_size": 14,
        },
        adapter_config={
            **heads,
            "vision_feature_layer": [1, 0],
            "hidden_size": 32,
            "intermediate_size": 64,
            "text_hidden_size": _DIM,
        },
        **_ids(
            tokenizer,
            image_start_token_id="<im_start>",
            low_res_image_start_token_id="<low_res_im_start>",
            image_end_token_id="<im_end>",
            image_patch_id="<im_patch>",
            frame_start_token_id="<frame_start>",
            frame_end_token_id="<frame_end>",
        ),
        tie_word_embeddings=False,
    )
    settings = {
        "image_processor_type": "Molmo2ImageProcessor",
        "size": {"height": 56, "width": 56},
        "max_crops": 4,
        "overlap_margins": [1, 1],
        "patch_size": 14,
        "pooling_size": [2, 2],
    }
    model = Molmo2ForConditionalGeneration(config)
    save_checkpoint(folder, model, tokenizer, "<|image|>", settings, {"processor_class": "Molmo2Processor"})


#: What builds a checkpoint of each architecture into an empty folder.
NATIVE: dict[str, Callable[[Path], None]] = {
    "qwen2_vl": qwen2_vl,
    "qwen3_vl": qwen3_vl,
    "internvl": internvl,
    "llava_onevision": llava_onevision,
    "smolvlm": smolvlm,
    "paligemma": paligemma,
    "gemma3": gemma3,
    "molmo2": molmo2,
}
