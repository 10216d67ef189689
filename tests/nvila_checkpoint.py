"""Build a tiny random NVILA-Lite checkpoint with VILA's own classes; run by the Python of an environment with them.

    python nvila_checkpoint.py FOLDER [--form llava|preview] [--images WAY] [--vila CLONE]

The folder is laid out like the published ones: a root config, and llm/, vision_tower/ and mm_projector/ with weights
and settings of their own. The preview form has the clone's remote-code files beside them.
"""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

WORKER = Path(__file__).parents[1] / "vlmprobe" / "families" / "worker"
#: Decoder layers and length of a hidden state.
LAYERS, DIM = 3, 32
_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "[BOS]",
    "[PAD]",
    "<vila/sentinel>",
    "<image>",
    "<vila/video>",
]
_CHAT = """\
{%- if messages[0]['role'] != 'system' -%}<|im_start|>system
You are a helpful assistant<|im_end|>
{% endif -%}
{%- for message in messages if message['content'] is not none -%}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""


def build(folder: Path, form: str, images: str, clone: Path | None) -> None:
    """Save a random model of three decoder layers; the weights come from a fixed seed."""
    # The worker's modules by their own name, without the rest of vlmprobe: this environment has not its packages.
    runpy.run_path(str(WORKER / "bootstrap.py"), run_name="bootstrap")["_make_importable"]()
    from vlmprobe.families.worker.nvila.code import import_llava

    import_llava()
    from llava.model.language_model.llava_llama import LlavaLlamaConfig
    from llava.model.multimodal_encoder.siglip import SiglipVisionModel
    from llava.model.multimodal_projector.base_projector import MultimodalProjector, MultimodalProjectorConfig
    from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipImageProcessor, SiglipVisionConfig

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    llm_config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=DIM,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.convert_tokens_to_ids("<|im_start|>"),
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
    )
    vision_config = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
    )
    # The scales' features are brought to the size of the last one, as published, or of the first.
    chosen = 0 if images == "dynamic_s2_first" else -1
    images = images.removesuffix("_first")
    scales = {"s2_scales": "56,112", "s2_max_split_size": 56, "s2_resize_output_to_scale_idx": chosen}
    root: Any = LlavaLlamaConfig(
        architectures=["LlavaLlamaModel"],
        resume_path=str(folder),
        hidden_size=DIM,
        mm_hidden_size=64 if images == "dynamic_s2" else 32,
        image_aspect_ratio=images,
        num_video_frames=8,
        mm_vision_select_layer=-2,
        mm_vision_select_feature="cls_patch",
        max_tiles=6,
        dynamic_s2=images == "dynamic_s2",
        **(scales if images == "dynamic_s2" else {}),
    )
    projector = MultimodalProjector(MultimodalProjectorConfig("mlp_downsample_3x3_fix"), root)
    parts = {
        "llm": Qwen2ForCausalLM(llm_config),
        "vision_tower": SiglipVisionModel(vision_config),
        "mm_projector": projector,
    }
    for model in parts.values():
        _make_random(model)
    with torch.no_grad():
        # Answers in letters: bytes that are none would all read alike.
        letters = {tokenizer.convert_tokens_to_ids(chr(code)) for code in range(ord("!"), 127)}
        letters.add(llm_config.eos_token_id)
        parts["llm"].lm_head.weight[[place for place in range(len(tokenizer)) if place not in letters]] = 0
    for part, model in parts.items():
        model.save_pretrained(folder / part)
    # What a chat model's generation config brings, and llava's generate_content does not use.
    (folder / "llm" / "generation_config.json").write_text(
        json.dumps({"do_sample": True, "temperature": 0.7, "repetition_penalty": 1.3})
    )
    tokenizer.save_pretrained(folder / "llm")
    processor = SiglipImageProcessor(
        size={"height": 56, "width": 56}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    processor.save_pretrained(folder / "vision_tower")
    root.save_pretrained(folder)
    said = json.loads((folder / "config.json").read_text())
    said |= {f"{part}_cfg": json.loads((folder / part / "config.json").read_text()) for part in parts}
    if form == "preview":
        assert clone is not None
        _bring_code(folder, clone)
        said |= {
            "model_type": "vila",
            "architectures": ["VILAForCausalLM"],
            "auto_map": {
                "AutoProcessor": "auto_processor.VILAProcessor",
                "AutoConfig": "modeling_vila.VILAConfig",
                "AutoModel": "modeling_vila.VILAForCausalLM",
                "AutoModelForCausalLM": "modeling_vila.VILAForCausalLM",
            },
        }
    (folder / "config.json").write_text(json.dumps(said, indent=2))


def _make_random(model: Any) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                # The usual 0.02 would leave the residual stream, and every delta, to the embeddings alone.
                parameter.normal_(0.0, 1.5 / parameter.shape[-1] ** 0.5)
            elif "norm" not in name:
                parameter.normal_(0.0, 0.1)


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={byte: place for place, byte in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in _SPECIAL])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="[BOS]",
        eos_token="<|im_end|>",
        pad_token="[PAD]",
        model_max_length=4096,
        additional_special_tokens=_SPECIAL,
    )
    tokenizer.chat_template = _CHAT
    return tokenizer


def _bring_code(folder: Path, clone: Path) -> None:
    for file in (clone / "llava" / "remote_code").glob("*.py"):
        shutil.copy(file, folder)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--form", choices=("llava", "preview"), default="llava")
    parser.add_argument(
        "--images", choices=("dynamic", "dynamic_s2", "dynamic_s2_first", "resize"), default="dynamic"
    )
    parser.add_argument("--vila", type=Path, help="a clone of VILA; else llava is on the path")
    said = parser.parse_args()
    if said.vila is not None:
        sys.path.append(str(said.vila))
    said.folder.mkdir(parents=True, exist_ok=True)
    build(said.folder, said.form, said.images, said.vila)


if __name__ == "__main__":
    main()
