"""A tiny random Molmo in both of its forms: Hugging Face's, with its remote code, and that of the olmo package.

The published remote code fixes the size of the vision tower (a ViT-L of 300 million parameters). The copy that a
test's folder gets has smaller numbers in its place; nothing else of it is touched.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from .architectures import tokenizer_of
from .model_code import model_code

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DIM", "EMBEDDINGS", "LAYERS", "molmo_code", "save_hub", "save_native"]

LAYERS = 3
DIM = 32
#: Rows of the embedding table that are the language model's; the image tokens come after them.
EMBEDDINGS = 384
_IMAGE_TOKENS = ("<im_start>", "<im_end>", "<im_patch>", "<im_col>", "<|image|>")
_VISION = {
    "image_emb_dim": 32,
    "image_num_heads": 2,
    "image_num_key_value_heads": 2,
    "image_num_layers": 10,
    "image_head_dim": 16,
    "image_mlp_dim": 64,
}
_LANGUAGE = {
    "vocab_size": EMBEDDINGS,
    "embedding_size": EMBEDDINGS,
    "hidden_size": DIM,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "qkv_bias": True,
    "layer_norm_eps": 1e-6,
    "layer_norm_type": "rms",
    "tie_word_embeddings": False,
    "weight_tying": False,
    "use_position_ids": True,
}
_PIXELS = {
    "max_crops": 12,
    "overlap_margins": [4, 4],
    "base_image_input_size": [336, 336],
    "image_token_length_w": 12,
    "image_token_length_h": 12,
    "image_patch_size": 14,
    "image_padding_mask": True,
}


@contextmanager
def molmo_code(modules: Path) -> Iterator[None]:
    """Make the clone of olmo importable, and let transformers copy a checkpoint's own code to ``modules``.

    Skips the test when that code, or a package that it imports, is not there.
    """
    for package in ("einops", "omegaconf"):
        pytest.importorskip(package, reason=f"Molmo's own code needs {package}; run: pip install {package}")
    from transformers import dynamic_module_utils

    clone = model_code("molmo")
    model_code("molmo-hf")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(clone))
        patch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(modules))
        _forget_modules()
        try:
            yield
        finally:
            _forget_modules()


def _forget_modules() -> None:
    """Drop foreign code that is imported already: the next one to look for it finds it, or not, by itself."""
    for name in list(sys.modules):
        if name.partition(".")[0] in {"olmo", "transformers_modules"}:
            del sys.modules[name]


def save_hub(folder: Path, *, dtype: torch.dtype = torch.float32) -> Path:
    """Write a checkpoint in Hugging Face form, its .py files copied from where :func:`model_code` finds them."""
    code = model_code("molmo-hf")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config_molmo", "preprocessing_molmo", "image_preprocessing_molmo", "modeling_molmo"):
        shutil.copyfile(code / f"{name}.py", folder / f"{name}.py")
    modeling = folder / "modeling_molmo.py"
    modeling.write_text(_with_small_tower(modeling.read_text()))
    _write(
        folder / "config.json",
        {
            "architectures": ["MolmoForCausalLM"],
            "model_type": "molmo",
            "auto_map": {
                "AutoConfig": "config_molmo.MolmoConfig",
                "AutoModelForCausalLM": "modeling_molmo.MolmoForCausalLM",
            },
            **_LANGUAGE,
        },
    )
    _write(folder / "generation_config.json", {"_from_model_config": True})
    classes = {
        "AutoImageProcessor": "image_preprocessing_molmo.MolmoImageProcessor",
        "AutoProcessor": "preprocessing_molmo.MolmoProcessor",
    }
    _write(
        folder / "preprocessor_config.json",
        {
            "auto_map": classes,
            "image_processor_type": "MolmoImageProcessor",
            "processor_class": "MolmoProcessor",
            **_PIXELS,
        },
    )
    _write(folder / "processor_config.json", {"auto_map": classes, "processor_class": "MolmoProcessor"})
    # The language model's tokenizer, filled up to its embeddings, then the image tokens.
    used = 256 + 1
    fill = [f"|<EXTRA_TOKENS_{number}>|" for number in range(EMBEDDINGS - used)]
    _tokenizer([*fill, *_IMAGE_TOKENS]).save_pretrained(folder)
    generator = torch.Generator().manual_seed(11)
    weights = {name: _random(name, shape, generator).to(dtype) for name, shape in _shapes()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def save_native(folder: Path, hub: Path, *, config: dict[str, Any] | None = None) -> Path:
    """Write the same weights in the form of the olmo package, with the language model's bare tokenizer beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name.removeprefix("model."): tensor for name, tensor in load_file(hub / "model.safetensors").items()
    }
    torch.save(weights, folder / "model.pt")
    tokenizer = folder / "tokenizer"
    _tokenizer([]).save_pretrained(tokenizer)
    model = {
        "d_model": DIM,
        "n_heads": 4,
        "n_kv_heads": 2,
        "qkv_bias": True,
        "n_layers": LAYERS,
        "mlp_hidden_size": 128,
        "activation_type": "swiglu",
        "block_type": "sequential",
        "rope": True,
        "rope_theta": 10000.0,
        "attention_dropout": 0.0,
        "residual_dropout": 0.0,
        "embedding_dropout": 0.0,
        "layer_norm_type": "rms",
        "layer_norm_eps": 1e-6,
        "max_position_embeddings": 4096,
        "include_bias": False,
        "bias_for_layer_norm": False,
        "vocab_size": EMBEDDINGS,
        "embedding_size": EMBEDDINGS,
        "additional_vocab_size": 128,
        "weight_tying": False,
        "max_crops": 12,
        "crop_mode": "overlap-and-resize-c2",
        "prompt_type": "uber_model",
        "message_formatting": "role",
        "system_prompt_kind": "demo_or_style",
        "image_padding_embed": "pad_and_partial_pad",
        "fix_image_padding": False,
        "vit_layers": [-2, -9],
        "image_pooling_2d": "attention-meanq",
        "tokenizer": {"identifier": str(tokenizer)},
        "vision_backbone": {
            "image_model_type": "openai",
            "image_mlp_activations": "quick_gelu",
            "resize_mode": "default",
            **_VISION,
        },
        **(config or {}),
    }
    # JSON is YAML.
    _write(folder / "config.yaml", {"run_name": "tiny", "model": model})
    return folder


def _tokenizer(special: list[str]) -> Any:
    return tokenizer_of(["<|endoftext|>", *special], eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def _with_small_tower(code: str) -> str:
    head, tail = code.split("class MolmoForCausalLM", 1)
    for name, value in _VISION.items():
        tail, found = re.subn(rf"\b{name}=\d+,", f"{name}={value},", tail)
        assert found == 1, name
    return f"{head}class MolmoForCausalLM{tail}"


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each weight's name in the Hugging Face form; the native form's lack the leading ``model.``."""
    wide, heads, mlp = 2 * _VISION["image_emb_dim"], _VISION["image_emb_dim"], _VISION["image_mlp_dim"]
    tower = _VISION["image_emb_dim"]
    yield "model.transformer.wte.embedding", (EMBEDDINGS, DIM)
    yield "model.transformer.wte.new_embedding", (128, DIM)
    yield "model.transformer.ln_f.weight", (DIM,)
    yield "model.transformer.ff_out.weight", (EMBEDDINGS, DIM)
    for layer in range(LAYERS):
        block = f"model.transformer.blocks.{layer}"
        yield f"{block}.attn_out.weight", (DIM, DIM)
        yield f"{block}.ff_out.weight", (DIM, 64)
        yield f"{block}.attn_norm.weight", (DIM,)
        yield f"{block}.ff_norm.weight", (DIM,)
        yield f"{block}.att_proj.weight", (DIM + 2 * 16, DIM)
        yield f"{block}.att_proj.bias", (DIM + 2 * 16,)
        yield f"{block}.ff_proj.weight", (128, DIM)
    vision = "model.vision_backbone"
    yield f"{vision}.pad_embed", (2, wide)
    yield f"{vision}.image_vit.class_embedding", (tower,)
    yield f"{vision}.image_vit.positional_embedding", (577, tower)
    yield f"{vision}.image_vit.patch_embedding.weight", (tower, 14 * 14 * 3)
    for part in ("weight", "bias"):
        yield f"{vision}.image_vit.pre_ln.{part}", (tower,)
    for layer in range(_VISION["image_num_layers"]):
        block = f"{vision}.image_vit.transformer.resblocks.{layer}"
        yield from _attention(f"{block}.attention", tower, heads)
        yield from _linear(f"{block}.feed_forward.w1", mlp, tower)
        yield from _linear(f"{block}.feed_forward.w2", tower, mlp)
        for norm in ("attention_norm", "ffn_norm"):
            for part in ("weight", "bias"):
                yield f"{block}.{norm}.{part}", (tower,)
    yield from _attention(f"{vision}.image_pooling_2d", wide, heads)
    yield f"{vision}.image_projector.w1.weight", (64, heads)
    yield f"{vision}.image_projector.w2.weight", (DIM, 64)
    yield f"{vision}.image_projector.w3.weight", (64, heads)


def _attention(path: str, width: int, heads: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name in ("wq", "wk", "wv"):
        yield from _linear(f"{path}.{name}", heads, width)
    yield from _linear(f"{path}.wo", _VISION["image_emb_dim"], heads)


def _linear(path: str, rows: int, columns: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{path}.weight", (rows, columns)
    yield f"{path}.bias", (rows,)


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if re.search(r"(norm|ln_f|pre_ln)\.weight$", name):
        return torch.ones(shape)
    if len(shape) == 1:
        return torch.randn(shape, generator=generator) * 0.1
    if "att_proj" in name:
        # Sharp attention: the last token is that of every question, and 300 image tokens stand beside its words.
        return torch.randn(shape, generator=generator) * 2.5 / shape[-1] ** 0.5
    if "embed" in name and "patch" not in name:
        return torch.randn(shape, generator=generator)
    # The usual 0.02 would leave the residual stream, and every delta, to the embeddings alone.
    return torch.randn(shape, generator=generator) * 0.6 / shape[-1] ** 0.5


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1))
