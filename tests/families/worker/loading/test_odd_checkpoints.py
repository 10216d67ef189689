"""A good checkpoint with one thing changed: what each family says, as one line with file, key and way out."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmprobe.errors import VlmprobeError
from vlmprobe.families import LoadOptions, fingerprint, open_family
from vlmprobe.families.worker import ModelFault
from vlmprobe.families.worker.molmo.family import Molmo
from vlmprobe.families.worker.nvila.family import Nvila
from vlmprobe.families.worker.weights.naming import check_renamed, check_unique
from vlmprobe.families.worker.weights.tensors import check_left_over, harmless

from ....odd_folders import (
    PAGE,
    POINTER,
    WEIGHTS,
    above,
    added,
    dangling,
    link,
    prefixed,
    settings,
    text,
    weights,
    write,
)
from ...conftest import CHECKPOINTS

if TYPE_CHECKING:
    from pathlib import Path

    from ....odd_folders import Change


def emptied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave no number in the vision tower's matrices, as a ZeRO-3 save without gathering does."""
    return {
        name: torch.empty(0) if tensor.ndim > 1 and "visual" in name else tensor
        for name, tensor in tensors.items()
    }


def taller(tensors: dict[str, torch.Tensor]) -> None:
    """Give the embeddings more rows than the config says."""
    name = next(name for name in tensors if "embed_tokens" in name)
    tensors[name] = torch.cat([tensors[name], tensors[name][:8]])


def renamed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Move the whole model below a name that no wrapper is known for."""
    return {f"student.{name}": tensor for name, tensor in tensors.items()}


def respelled(old: str, new: str) -> Change:
    """Put other weights of a layer or a tower beside its own, as another version of transformers names them."""
    return weights(
        lambda tensors: (
            tensors | {name.replace(old, new, 1): 2 * each for name, each in tensors.items() if old in name}
        )
    )


def keys_lost(*names: str, part: str = "") -> Change:
    """Remove keys of config.json, or of a part of it."""

    def change(folder: Path) -> None:
        said = json.loads((folder / "config.json").read_text())
        for name in names:
            del (said[part] if part else said)[name]
        write(folder, "config.json", json.dumps(said))

    return change


def no_sections(folder: Path) -> None:
    """Let the rotary embedding of positions have no parts."""
    said = json.loads((folder / "config.json").read_text())
    del said["text_config"]["rope_parameters"]["mrope_section"]
    write(folder, "config.json", json.dumps(said))


def pipe(name: str) -> Change:
    """Put a pipe in the place of a file, which nobody writes to."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def distributed(folder: Path, *, inside: str = "") -> None:
    """Leave what FSDP saves, a file a process, in the place of weights."""
    (folder / WEIGHTS).unlink()
    (folder / inside).mkdir(exist_ok=True)
    write(folder / inside, "__0_0.distcp", "x")
    write(folder / inside, ".metadata", "x")


def adapter(folder: Path) -> None:
    """Put an adapter beside the weights."""
    write(folder, "adapter_config.json", '{"peft_type": "LORA", "base_model_name_or_path": "/data/base"}')
    save_file({"a": torch.zeros(1)}, folder / "adapter_model.safetensors")


def adapter_alone(folder: Path) -> None:
    """Leave an adapter with the base model's config."""
    adapter(folder)
    (folder / WEIGHTS).unlink()


def second_set(folder: Path) -> None:
    """Put a pickle of other weights beside."""
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")


def parts_without_index(folder: Path) -> None:
    """Call the weights the first of two parts."""
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")


def twice(folder: Path) -> None:
    """Let two parts hold a tensor, of which the index names the first."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    first = min(tensors)
    files = [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
    save_file(tensors, folder / files[0], {"format": "pt"})
    save_file({first: 2 * tensors[first]}, folder / files[1], {"format": "pt"})
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, files[0]) | {"another": files[1]}}
    write(folder, f"{WEIGHTS}.index.json", json.dumps(index))


def deepspeed(folder: Path) -> None:
    """Leave what DeepSpeed saves in the place of weights."""
    (folder / WEIGHTS).unlink()
    (folder / "global_step40").mkdir()
    write(folder, "zero_to_fp32.py", "")


def template(text: str) -> Change:
    """Put another chat template in the place of the checkpoint's."""
    return lambda folder: write(folder, "chat_template.jinja", text)


def no_placeholder(folder: Path) -> None:
    """Let the chat template write text alone, as that of a text model does."""
    write(
        folder,
        "chat_template.jinja",
        "{% for m in messages %}{% for c in m.content %}{{ c.text }}{% endfor %}{% endfor %}",
    )


def sections(*numbers: int) -> Change:
    """Let the rotary embedding of positions have other parts."""

    def change(folder: Path) -> None:
        said = json.loads((folder / "config.json").read_text())
        said["text_config"]["rope_parameters"]["mrope_section"] = list(numbers)
        write(folder, "config.json", json.dumps(said))

    return change


def rope(folder: Path) -> None:
    """Name a kind of rotary embedding that nobody knows."""
    said = json.loads((folder / "config.json").read_text())
    said["text_config"]["rope_parameters"]["rope_type"] = "superlong"
    write(folder, "config.json", json.dumps(said))


SIZE = r"preprocessor_config.json has size .*; write \"size\": {\"shortest_edge\": LEAST, \"longest_edge\": MOST}"
#: Weights that are not what the name says -> what the line says, for every family that reads a folder of transformers.
OTHER_WEIGHTS: dict[str, tuple[Change, str]] = {
    "an adapter beside the weights": (
        adapter,
        r"an adapter \(adapter_config.json, adapter_model.safetensors\) beside full weights \(model.safetensors\)",
    ),
    "an adapter alone": (
        adapter_alone,
        "no weights in this folder .*; it is an adapter; merge it into its base",
    ),
    "two sets of weights": (
        second_set,
        r"two sets of weights in this folder \(model.safetensors and pytorch_model.bin\); keep the set that you mean",
    ),
    "parts without an index": (
        parts_without_index,
        r"it has model-00001-of-00002.safetensors but no index \(such as model.safetensors.index.json\)",
    ),
    "DeepSpeed's own form": (deepspeed, "it is DeepSpeed's own form; run its zero_to_fp32.py"),
    "the folder above one": (
        above("checkpoint-1250"),
        "its checkpoint is in checkpoint-1250; pass that folder",
    ),
    "the folder above several": (
        above("checkpoint-900", "checkpoint-1000", with_config=True),
        "its checkpoints are in checkpoint-900, checkpoint-1000; pass one of these folders",
    ),
    "the hub's cache": (
        above("snapshots/0123abc"),
        "its checkpoint is in snapshots/0123abc; pass that folder",
    ),
    "the hub's cache of every model": (
        above("models--owner--name/snapshots/0123abc"),
        "its checkpoint is in models--owner--name/snapshots/0123abc; pass that folder",
    ),
    "the home of the hub's cache": (
        above("hub/models--a--b/snapshots/0123abc", "hub/models--a--c/snapshots/9"),
        "its checkpoints are in hub/models--a--b/snapshots/0123abc, hub/models--a--c/snapshots/9; pass one",
    ),
    "FSDP's own form": (
        distributed,
        r"it is the distributed form of FSDP \(\*.distcp\); merge it with 'accelerate merge-weights'",
    ),
    "FSDP's own form in a trainer's folder": (
        lambda folder: distributed(folder, inside="pytorch_model_fsdp_0"),
        "its weights are in pytorch_model_fsdp_0, in the distributed form of FSDP",
    ),
    "a pipe in the place of weights": (pipe(WEIGHTS), "model.safetensors is no regular file"),
    "weights that are gone": (
        dangling(WEIGHTS),
        "model.safetensors is a link to a file that is not there; download",
    ),
    "a config that is gone": (
        dangling("config.json"),
        "config.json is a link to a file that is not there; download",
    ),
    "tensors of no size": (
        weights(emptied),
        r"has shape \[0\] in the weights but \[.*\] in the model \(\d+ more differ\); .* without gathering its parts",
    ),
    "more rows than the config": (
        weights(taller),
        r"embed_tokens.weight has shape \[448, 192\] in the weights but \[440, 192\] in the model; use the config.json",
    ),
    "names under another prefix": (
        weights(renamed),
        r"the weights lack \d+ tensors .*, such as (\S+), and hold \d+ .*, such as student\.\S+; remove 'student.'",
    ),
    "names of another model": (
        weights(lambda tensors: {f"a{place}": tensor for place, tensor in enumerate(tensors.values())}),
        r"the weights lack \d+ tensors .*, such as .*, and hold \d+ that it has no place for, such as a0; use",
    ),
    "an adapter that is not merged": (
        added(model__language_model__layers__0__self_attn__q_proj__lora_A__weight=4),
        "hold 1 tensors that the model has no place for, such as .*lora_A.weight; merge that adapter into its base",
    ),
    "a parameter that its class lacks": (
        added(model__language_model__layers__0__self_attn__q_norm__weight=4),
        "hold 1 tensors that the model has no place for, such as .*q_norm.weight; use the config.json and the family",
    ),
    "an adapter under its own names": (
        added(base_model__model__model__language_model__layers__0__self_attn__q_proj__lora_B__weight=4),
        "hold 1 tensors that the model has no place for, such as base_model.*lora_B.weight; merge that adapter",
    ),
    "a tensor in two files": (
        twice,
        r"\S+ is in two weight files \(model-00001-of-00002.safetensors and model-00002-of-00002.safetensors\); keep",
    ),
    "a layer under two spellings": (
        respelled("model.layers.0.", "model.language_model.layers.0."),
        r"the weights hold model.language_model.layers.0.(\S+) and model.layers.0.\1, which are both the model's "
        r"model.language_model.layers.0.\1: two sets of weights under two spellings; remove the set that you do not",
    ),
    "a tower under two spellings": (
        respelled("visual.", "model.visual."),
        r"the weights hold model.visual.(\S+) and visual.\1, which are both the model's model.visual.\1: two sets",
    ),
    "a layer as a wrapper names it, beside its own": (
        respelled("model.layers.1.", "module.model.layers.1."),
        r"the weights hold model.layers.1.(\S+) and module.model.layers.1.\1, which are both the model's",
    ),
    "weights as two training wrappers name them": (
        respelled("visual.", "_orig_mod.model.visual."),
        r"the weights hold _orig_mod.model.visual.(\S+) and visual.\1, which are both the model's",
    ),
    "no text_config": (
        keys_lost("text_config"),
        "config.json has no text_config, and the default size of that part is not that of these weights; copy the",
    ),
    "no vision_config": (
        keys_lost("vision_config"),
        "config.json has no vision_config, and the default size",
    ),
    "a text_config of null": (settings(text_config=None), "config.json has no text_config, and the default"),
    "a vision_config of null": (settings(vision_config=None), "config.json has no vision_config, and the"),
    "a vision_config of nothing": (
        settings(vision_config={}),
        r"has shape .* in the weights but .* in the model \(\d+ more differ\); use the config.json that belongs",
    ),
    "far more layers than the weights": (
        settings(part="text_config", num_hidden_layers=900, layer_types=None),
        "the weights end at layers.5, but its config describes a model with layers.10",
    ),
    "quantized weights": (
        settings(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
        r"config.json says that the weights are quantized \(quantization_config, bitsandbytes\), which",
    ),
    "quantized weights of a part": (
        settings(part="text_config", quantization_config={"quant_method": "awq"}),
        r"the weights are quantized \(quantization_config, awq\)",
    ),
    "another file of weights": (
        settings(transformers_weights="other.safetensors"),
        "config.json names its weights by transformers_weights",
    ),
}
#: What else is wrong with a folder -> what the line says.
OTHER_FILES: dict[str, tuple[Change, str]] = {
    "a config of another kind": (
        settings(part="text_config", hidden_size="large"),
        "config.json: .*hidden_size",
    ),
    "a size of one number": (settings("preprocessor_config.json", size=56), SIZE),
    "a size of height and width": (
        settings("preprocessor_config.json", size={"height": 56, "width": 56}),
        SIZE,
    ),
    "a size that says two things": (
        settings(
            "preprocessor_config.json", size={"min_pixels": 1, "shortest_edge": 3136, "longest_edge": 78400}
        ),
        SIZE,
    ),
    "a processor's file of no settings": (
        lambda folder: write(folder, "preprocessor_config.json", "[1, 2]"),
        r"preprocessor_config.json holds a list, not settings \(keys and values in {}\); copy it again",
    ),
    "a mean of one color": (
        settings("preprocessor_config.json", image_mean=[0.5]),
        r"preprocessor_config.json has image_mean: \[0.5\]; write one number for each of the three colors, as in the",
    ),
    "no mean": (
        settings("preprocessor_config.json", image_mean=None),
        "preprocessor_config.json has image_mean: null; write one number for each",
    ),
    "a deviation of zero": (
        settings("preprocessor_config.json", image_std=[0.5, 0, 0.5]),
        r"preprocessor_config.json has image_std: \[0.5, 0, 0.5\]; write one number .*, each above 0, as in the base",
    ),
    "a mean of words": (
        settings("preprocessor_config.json", image_mean=["a", "b", "c"]),
        "preprocessor_config.json has image_mean: .*; write one number",
    ),
    "patches of another size": (
        settings("preprocessor_config.json", patch_size=16),
        "preprocessor_config.json has patch_size: 16, but config.json has patch_size: 14 in its vision_config; both",
    ),
    "patches merged otherwise": (
        settings("preprocessor_config.json", merge_size=1),
        "preprocessor_config.json has merge_size: 1, but config.json has spatial_merge_size: 2 in its vision_config",
    ),
    "a model of other patches": (
        settings(part="vision_config", temporal_patch_size=1),
        "preprocessor_config.json has temporal_patch_size: 2, but config.json has temporal_patch_size: 1 in its",
    ),
    "a config that is a list": (
        lambda folder: write(folder, "config.json", "[1, 2]"),
        r"config.json holds a list, not settings \(keys and values in {}\); copy it again",
    ),
    "a config with a mark of its encoding": (
        lambda folder: write(folder, "config.json", b"\xef\xbb\xbf{}"),
        "config.json is not valid JSON: .*; copy it again",
    ),
    "no heads": (
        settings(part="text_config", num_key_value_heads=0),
        r"no model can be made of config.json with num_key_value_heads: 0 \(.*\); compare it with the base model's",
    ),
    "heads that do not divide": (
        settings(part="text_config", num_attention_heads=7),
        r"no model can be made of config.json with .*num_attention_heads: 7 \(.*\); compare it",
    ),
    "heads of vision that are none": (
        settings(part="vision_config", num_heads=0),
        r"no model can be made of config.json with num_heads: 0 \(.*\); compare it",
    ),
    "an unknown embedding of positions": (
        rope,
        """no model can be made of config.json with rope_type: "superlong" .*; compare it""",
    ),
    "an unknown activation": (
        settings(part="text_config", hidden_act="swiglu2"),
        """no model can be made of config.json with hidden_act: "swiglu2" .*; compare it""",
    ),
    "an unknown activation of vision": (
        settings(part="vision_config", hidden_act="gelu7"),
        """no model can be made of config.json with hidden_act: "gelu7" .*; compare it""",
    ),
    "an unknown number format": (
        settings(dtype="bf16"),
        """no model can be made of config.json with dtype: "bf16" .*; compare it""",
    ),
    "padding outside the vocabulary": (
        settings(part="text_config", pad_token_id=99999),
        "no model can be made of config.json with pad_token_id: 99999, vocab_size: 440 .*; compare it",
    ),
    "parts of positions that are no head": (
        sections(16, 24, 24),
        r"config.json has mrope_section: \[16, 24, 24\], which adds up to 64, not to 16, half the size of a head",
    ),
    "no parts of positions": (
        no_sections,
        r"config.json has no mrope_section beside its rope_type, .* \(.*\); compare it",
    ),
    "images of any size": (
        settings("preprocessor_config.json", do_resize=False),
        r"its image processor cannot prepare an image with do_resize: false in preprocessor_config.json \(",
    ),
    "a template in another encoding": (
        lambda folder: write(folder, "chat_template.jinja", b"\xff\xfe{{ a }}"),
        r"chat_template.jinja cannot be read as UTF-8 text \(.*\); copy it again, or pass --processor",
    ),
    "a way to generate that is cut": (
        lambda folder: write(folder, "generation_config.json", "{"),
        "generation_config.json is not valid JSON: .*; copy it again",
    ),
    "a way to generate that is a list": (
        lambda folder: write(folder, "generation_config.json", "[1]"),
        "generation_config.json holds a list, not settings",
    ),
    "a pipe in the place of a config": (
        pipe("config.json"),
        "config.json is no regular file .*; put the file itself",
    ),
    "a pipe in the place of a tokenizer": (pipe("tokenizer.json"), "tokenizer.json is no regular file"),
    "a template that cannot be read": (
        template("{% for m in messages %}\n{{ m.role } }"),
        r"chat_template.jinja cannot be used as a chat template \(line 2: misplaced '}'\); copy the base model's",
    ),
    "a template that refuses": (
        template("{{ raise_exception('Only text, please') }}"),
        r"chat_template.jinja cannot be used as a chat template \(Only text, please\); copy the base model's",
    ),
    "a template that divides by zero": (
        template("{{ 1 // 0 }}"),
        r"chat_template.jinja cannot be used as a chat template \(.*zero\); copy the base model's",
    ),
    "a template without an image": (
        no_placeholder,
        "chat_template.jinja puts no image into the prompt: .*; copy the base model's chat template",
    ),
    "an end that is a word": (
        settings("generation_config.json", eos_token_id="<|im_end|>"),
        r"generation_config.json has eos_token_id: \"<\|im_end\|>\", where numbers of tokens belong",
    ),
    "a pointer in the place of weights": (
        text(WEIGHTS, POINTER),
        "model.safetensors is a Git LFS pointer, not the file itself; run 'git lfs pull'",
    ),
    "a page in the place of weights": (
        text(WEIGHTS, PAGE),
        "model.safetensors is an HTML page, not the file itself; download it again",
    ),
    "weights of nonsense": (
        lambda folder: write(folder, WEIGHTS, b"\x00\xff" * 99),
        r"model.safetensors is damaged \(.*\); copy the checkpoint again",
    ),
    "a pointer in the place of a config": (
        lambda folder: write(folder, "config.json", POINTER),
        "config.json is a Git LFS pointer, not the file itself",
    ),
    "a tokenizer's file that is a pointer": (
        lambda folder: write(folder, "tokenizer.json", POINTER),
        "tokenizer.json is a Git LFS pointer, not the file itself",
    ),
    "a tokenizer's file that is cut": (
        lambda folder: write(folder, "tokenizer.json", '{"version": "1.0"'),
        r"tokenizer.json is not valid JSON \(.*\); copy it again, or pass --processor",
    ),
}


REFUSED = OTHER_WEIGHTS | OTHER_FILES


def open_checkpoint(family: str, folder: Path) -> Any:
    """Open a checkpoint in the order of ``vlmprobe extract``: checked, fingerprinted, loaded."""
    opened = open_family(family)
    options = opened.resolve(LoadOptions(str(folder)))
    fingerprint(options.checkpoint)
    return opened.load(options)


#: Every family opens what costs next to nothing; what has to be loaded is shared among them.
SLOW = (
    "tensors of no size",
    "names",
    "more rows",
    "an adapter that is not",
    "a parameter",
    "a tokenizer",
    "heads",
    "an unknown",
    "parts of",
    "no parts",
    "images of",
    "a template",
    "an end",
)


def families_of(table: dict[str, Any], slow: tuple[str, ...]) -> list[Any]:
    """Pair each mutation with both families, or with one of them in turn; the fast tier has the latter of all."""
    return [
        pytest.param(
            name, family, id=f"{name}, {family}", marks=() if place % 2 == number else pytest.mark.full
        )
        for place, name in enumerate(table)
        for number, family in enumerate(("qwen25", "auto"))
        if not name.startswith(slow) or place % 2 == number
    ]


@pytest.mark.parametrize(("name", "family"), families_of(REFUSED, SLOW))
def test_what_is_wrong_with_a_checkpoint_is_one_line(tmp_path, name, family):
    """It names the file, the key or the tensor, and says what to do."""
    change, line = REFUSED[name]
    folder = link(tmp_path / "odd", CHECKPOINTS / "2m")
    change(folder)
    with pytest.raises(VlmprobeError) as caught:
        open_checkpoint(family, folder).close()
    said = str(caught.value)
    assert re.search(line, said), said
    assert "\n" not in said
    assert "odd" in said
    assert "unexpected" not in said.lower()
    assert caught.value.exit_code == 2


def with_buffers(tensors: dict[str, torch.Tensor]) -> None:
    """Add what older versions of transformers saved: buffers that are computed anyway."""
    tensors["model.language_model.rotary_emb.inv_freq"] = torch.zeros(4)
    tensors["model.visual.rotary_pos_emb.inv_freq"] = torch.zeros(4)
    tensors["model.visual.embeddings.position_ids"] = torch.zeros(1, 4, dtype=torch.long)


#: Mutation -> the note that it leaves; the model itself is the same.
ACCEPTED: dict[str, tuple[Change, str]] = {
    "buffers that are computed": (weights(with_buffers), ""),
    "a wrapper of several GPUs": (
        prefixed("module."),
        "the names of its weights began with 'module.', which was removed",
    ),
    "two wrappers": (
        prefixed("module._orig_mod."),
        "the names of its weights began with 'module._orig_mod.', which was removed",
    ),
    "a module that its class lacks": (
        added(value_head__weight=4, value_head__bias=1),
        "its weights hold modules that Qwen2_5_VLForConditionalGeneration does not have, which no number contains: "
        "value_head (2 tensors)",
    ),
    "another class": (
        settings(architectures=["QwenForGrasping"]),
        "its config names the class QwenForGrasping; it was run as Qwen2_5_VLForConditionalGeneration",
    ),
    "another weight file": (
        lambda folder: write(folder, "non_lora_trainables.bin", "x"),
        "weight files in its folder that were not read: non_lora_trainables.bin",
    ),
    "what training leaves": (lambda folder: write(folder, "training_args.bin", "x"), ""),
    "attention of a package": (settings(_attn_implementation="flash_attention_2"), ""),
    "attention of a part": (settings(part="text_config", _attn_implementation="flash_attention_2"), ""),
    "pixels in the size": (
        settings("preprocessor_config.json", size={"min_pixels": 3136, "max_pixels": 78400}),
        "",
    ),
    "pixels and edges in the size": (
        settings(
            "preprocessor_config.json",
            size={
                "min_pixels": 3136,
                "max_pixels": 78400,
                "shortest_edge": 3136,
                "longest_edge": 78400,
            },
        ),
        "",
    ),
}


@pytest.fixture(scope="module")
def expected(items):
    """Return what the unchanged checkpoint answers, by each family."""
    found = {}
    for family in ("qwen25", "auto"):
        with open_family(family).load(LoadOptions(str(CHECKPOINTS / "2m"))) as model:
            found[family] = model.run_batch(items[:1])
    return found


@pytest.mark.parametrize(
    ("name", "family"), families_of(ACCEPTED, ("buffers", "a wrapper", "two", "a module", "another", "what"))
)
def test_what_changes_no_number_passes(tmp_path, name, family, expected, items):
    """States are equal bit for bit; what a reader should know is a note, and the kernel is on record."""
    change, note = ACCEPTED[name]
    folder = link(tmp_path / "odd", CHECKPOINTS / "2m")
    change(folder)
    with open_checkpoint(family, folder) as model:
        np.testing.assert_array_equal(model.run_batch(items[:1]).states, expected[family].states)
        manifest = model.info.manifest
    assert manifest["notes"] == ([note] if note else [])
    assert manifest["weights"]["files"] == ["model.safetensors"]
    assert manifest["weights"]["tensors"] == 129
    assert manifest["attention"] == "sdpa"
    assert manifest["attention_not_used"] == ("flash_attention_2" if "attention" in name else None)


def test_an_account_counts_what_was_left_over(tmp_path):
    """Harmless tensors apart from those of a module that the class does not have."""
    folder = link(tmp_path / "odd", CHECKPOINTS / "2m")
    weights(with_buffers)(folder)
    added(value_head__weight=4)(folder)
    with open_checkpoint("qwen25", folder) as model:
        account = model.info.manifest["weights"]
    assert account["left_over_names"] == ["value_head.weight"]
    assert "model.visual.embeddings.position_ids" in account["harmless_names"]
    assert account["harmless"] == len(account["harmless_names"])


def test_a_tied_head_is_harmless():
    """It is the embeddings under another name; a head of its own is not."""
    assert harmless(["lm_head.weight", "a.inv_freq"], tied=True) == {"lm_head.weight", "a.inv_freq"}
    assert harmless(["lm_head.weight"], tied=False) == set()


def test_a_model_that_does_not_fit_takes_no_memory(tmp_path, monkeypatch):
    """The files' headers are compared with the config before any weight is read or made up."""

    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was built")

    monkeypatch.setattr("transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained", load)
    folder = link(tmp_path / "odd", CHECKPOINTS / "2m")
    settings(vision_config=None)(folder)
    with pytest.raises(VlmprobeError, match="has no vision_config"):
        open_checkpoint("qwen25", folder)


class Patterns(torch.nn.Linear):
    """A model with the patterns of names that classes of transformers 4 have, and without those of version 5."""

    base_model_prefix = "model"
    _checkpoint_conversion_mapping: ClassVar = {"^old": "new"}

    def __init__(self, *names: str) -> None:
        super().__init__(1, 1)
        self._names = names

    def state_dict(self, **_: object) -> dict[str, None]:
        """Name the parameters."""
        return dict.fromkeys(self._names)


def test_names_are_told_apart_without_the_rules_of_transformers_5(monkeypatch):
    """The patterns of version 4 rename as well."""
    monkeypatch.setitem(sys.modules, "transformers.core_model_loading", None)
    model = Patterns("new.a", "model.b")
    assert check_unique("odd", model, ["old.a", "b"]) == {"old.a": ("new.a", True), "b": ("model.b", True)}
    with pytest.raises(
        ModelFault, match=r"the weights hold new.a and old.a, which are both the model's new.a"
    ):
        check_unique("odd", model, ["new.a", "old.a"])


def test_names_that_a_family_changes_itself_stay_apart():
    """As those of Molmo's own form: two stored names that end up as one are refused with both."""
    check_renamed("odd", [("a", "a"), ("wrapped.b", "b")])
    with pytest.raises(
        ModelFault, match=r"the weights hold a and wrapped.a, which are both the model's a: two sets"
    ):
        check_renamed("odd", [("a", "a"), ("wrapped.a", "a")])


def parts(folder: Path) -> Path:
    """Make NVILA's folders, each with a file of weights."""
    for part in ("llm", "vision_tower", "mm_projector"):
        (folder / part).mkdir(parents=True)
        save_file({"weight": torch.zeros(1)}, folder / part / WEIGHTS)
    write(folder, "config.json", '{"model_type": "llava_llama"}')
    return folder


def tiny(folder: Path) -> Path:
    """Stand for a Molmo of Hugging Face form: a config and weights."""
    return link(folder, CHECKPOINTS / "2m")


def both_forms(folder: Path) -> None:
    """Put a Molmo of its training code's form beside one of Hugging Face form."""
    write(folder, "config.yaml", "model: {}")
    write(folder, "model.pt", "x")


@pytest.mark.parametrize(
    ("family", "make", "change", "line"),
    [
        (
            Nvila,
            parts,
            adapter,
            r"an adapter \(adapter_config.json, .*\) beside llm/; merge it into the model and save",
        ),
        (
            Nvila,
            parts,
            lambda folder: second_set(folder / "llm"),
            r"odd/llm: two sets of weights in this folder \(model.safetensors and pytorch_model.bin\)",
        ),
        (
            Nvila,
            parts,
            lambda folder: dangling(WEIGHTS)(folder / "mm_projector"),
            "odd/mm_projector: model.safetensors is a link to a file that is not there",
        ),
        (
            Molmo,
            tiny,
            both_forms,
            r"a Molmo in both of its forms \(config.json with its weights, and config.yaml with",
        ),
        (Molmo, tiny, second_set, "two sets of weights in this folder"),
        (Molmo, tiny, adapter, r"an adapter .* beside full weights \(model.safetensors\)"),
        (
            Molmo,
            tiny,
            above("step100"),
            r"no config.json .* and no config.yaml .*; its checkpoint is in step100; pass",
        ),
    ],
)
def test_families_with_folders_of_their_own(
    tmp_path: Path, family: Any, make: Any, change: Change, line: str
) -> None:
    """Each looks where its weights are, before anything is loaded."""
    folder = make(tmp_path / "odd")
    family.check_folder(folder)
    change(folder)
    with pytest.raises(ModelFault, match=line):
        family.check_folder(folder)


def test_what_is_left_over_is_a_module_or_belongs_in_one():
    """A head or a tower of its own leaves a note; a part of a layer, or a bias of a module, is refused."""
    known = ["", "model", "model.layers", "model.layers.0", "model.layers.0.mlp", "model.visual", "lm_head"]
    found = check_left_over(
        "odd", ["model.depth.layers.0.weight", "v.w", "v.b", "model.visual.head.w"], known
    )
    assert found == {"model.depth": 1, "model.visual.head": 1, "v": 2}
    for name in ("model.layers.0.mlp.gate.weight", "lm_head.bias", "model.layers.1.mlp.weight", "scale"):
        with pytest.raises(ModelFault, match=f"hold 1 tensors .* such as {name}; use the config.json"):
            check_left_over("odd", [name], known)
