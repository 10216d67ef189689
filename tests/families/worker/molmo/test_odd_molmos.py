"""A good Molmo with one thing changed, in both of its forms: one line with file, key and way out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import torch

from vlmprobe.errors import VlmprobeError
from vlmprobe.families import LoadOptions, fingerprint, open_family

from ....molmo_checkpoints import molmo_code, save_hub, save_native
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

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ....odd_folders import Change

FIRST = "transformer.blocks.0.att_proj.weight"


@pytest.fixture(scope="module", autouse=True)
def _code(tmp_path_factory):
    with molmo_code(tmp_path_factory.mktemp("modules")):
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Save the same weights in both forms."""
    folder = tmp_path_factory.mktemp("molmo")
    hub = save_hub(folder / "hub")
    return {"hub": hub, "native": save_native(folder / "native", hub)}


def yaml(part: str = "", **values: object) -> Change:
    """Set keys of the model in config.yaml, or of its vision backbone."""

    def change(folder: Path) -> None:
        said = json.loads((folder / "config.yaml").read_text())
        (said["model"][part] if part else said["model"]).update(values)
        write(folder, "config.yaml", json.dumps(said))

    return change


def pickled(change: Callable[[dict[str, torch.Tensor]], dict[object, torch.Tensor] | None]) -> Change:
    """Change the tensors of model.pt."""

    def rewrite(folder: Path) -> None:
        tensors = torch.load(folder / "model.pt", weights_only=True)
        changed = change(tensors) or tensors
        (folder / "model.pt").unlink()
        torch.save(changed, folder / "model.pt")

    return rewrite


def taller(tensors: dict[str, torch.Tensor]) -> None:
    """Give a matrix more rows than the config says."""
    (name,) = (name for name in tensors if name.endswith(FIRST))
    tensors[name] = torch.cat([tensors[name], tensors[name][:3]])


def emptied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave no number in a matrix."""
    return {name: torch.empty(0) if each.ndim > 1 else each for name, each in tensors.items()}


def whole(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn matrices into 8-bit whole numbers."""
    return {name: each.to(torch.int8) if each.ndim > 1 else each for name, each in tensors.items()}


def adapter(folder: Path) -> None:
    """Put an adapter beside the weights."""
    write(folder, "adapter_config.json", "{}")


def cannot(keys: str, file: str = r"config\.json") -> str:
    """Return what is said of a config that no model can be made of."""
    return rf"no model can be made of {file} with {keys} \(.*\); compare it with the base model's {file}, or copy it"


YAML = r"config\.yaml"
#: Form and mutation -> what the line says.
REFUSED: dict[tuple[str, str], tuple[Change, str]] = {
    ("hub", "a size that is a word"): (settings(hidden_size="large"), cannot('hidden_size: "large"')),
    ("hub", "layers that are a word"): (
        settings(num_hidden_layers="three"),
        cannot('num_hidden_layers: "three"'),
    ),
    ("hub", "no heads"): (settings(num_attention_heads=0), cannot("num_attention_heads: 0")),
    ("hub", "a vocabulary that is null"): (settings(vocab_size=None), cannot("vocab_size: null")),
    ("hub", "a norm that nobody knows"): (
        settings(layer_norm_type="silly"),
        cannot('layer_norm_type: "silly"'),
    ),
    ("hub", "no rows of embeddings"): (
        settings(embedding_size=0),
        cannot("vocab_size: 384, embedding_size: 0"),
    ),
    ("hub", "angles that are a word"): (settings(rope_theta="big"), cannot('rope_theta: "big"')),
    ("hub", "a number format that nobody knows"): (settings(dtype="bf16"), cannot('dtype: "bf16"')),
    ("hub", "a length that is zero"): (
        settings(max_position_embeddings=0),
        r"cannot take an image and a question with max_position_embeddings: 0 in config\.json \(.*\); compare it",
    ),
    ("hub", "a margin of norms that is a word"): (
        settings(layer_norm_eps="1e-6x"),
        r'cannot take an image and a question with layer_norm_eps: "1e-6x" in config\.json \(.*\); compare it',
    ),
    ("hub", "quantized weights"): (
        settings(quantization_config={"quant_method": "bitsandbytes"}),
        r"config\.json says that the weights are quantized \(quantization_config, bitsandbytes\)",
    ),
    ("hub", "weights of another width"): (
        settings(num_attention_heads=7),
        r"att_proj\.bias has shape \[64\] in the weights but \[48\] in the model \(5 more differ\); use the",
    ),
    ("hub", "a taller matrix"): (
        weights(taller),
        r"att_proj\.weight has shape \[67, 32\] in the weights but \[64, 32\] in the model; use the config\.json",
    ),
    ("hub", "tensors of no size"): (weights(emptied), r"has shape \[0\] .* without gathering its parts"),
    ("hub", "whole numbers"): (
        weights(whole),
        r"model\.safetensors: .*att_proj\.weight is of type I8, not a float",
    ),
    ("hub", "names under another prefix"): (
        prefixed("student."),
        r"such as student\.\S+; remove 'student\.'",
    ),
    ("hub", "an adapter that is not merged"): (
        added(model__transformer__blocks__0__att_proj__lora_A__weight=4),
        r"hold 1 tensors .* such as .*lora_A\.weight; merge that adapter into its base model first",
    ),
    ("hub", "a pointer in the place of weights"): (
        text(WEIGHTS, POINTER),
        r"model\.safetensors is a Git LFS pointer",
    ),
    ("hub", "a page in the place of weights"): (text(WEIGHTS, PAGE), r"model\.safetensors is an HTML page"),
    ("hub", "a config that is a list"): (
        text("config.json", "[1]"),
        r"config\.json holds a list, not settings",
    ),
    ("hub", "an empty config"): (
        text("config.json", ""),
        r"config\.json is empty; copy the checkpoint again",
    ),
    ("hub", "a config that is gone"): (
        dangling("config.json"),
        r"config\.json is a link to a file that is not there",
    ),
    ("hub", "code that is gone"): (
        dangling("modeling_molmo.py"),
        r"modeling_molmo\.py is a link to a file that is not there",
    ),
    ("hub", "code that raises"): (
        text("modeling_molmo.py", "raise RuntimeError('no')"),
        r"cannot import modeling_molmo\.MolmoForCausalLM, which config\.json names \(RuntimeError: no\); copy the \.py",
    ),
    ("hub", "code that is not there"): (
        settings(part="auto_map", AutoModelForCausalLM="gone.Molmo"),
        r"cannot import gone\.Molmo, which config\.json names \(.* a file named gone\.py\.\); copy the \.py files",
    ),
    ("hub", "an auto_map that is a word"): (
        settings(auto_map="x"),
        r"config\.json does not name the AutoModelForCausalLM of the checkpoint's own code \(auto_map\); add the base",
    ),
    ("hub", "a processor's file that is a list"): (
        text("preprocessor_config.json", "[1]"),
        r"preprocessor_config\.json holds a list, not settings",
    ),
    ("hub", "a processor's file that is cut"): (
        text("preprocessor_config.json", '{"a": 1'),
        r"preprocessor_config\.json is not valid JSON: .*; copy it again",
    ),
    ("hub", "a tokenizer's file that is a list"): (
        text("tokenizer_config.json", "[]"),
        r"tokenizer_config\.json holds a list, not keys and values in \{\}; copy it again, or pass --processor",
    ),
    ("hub", "an end that is a word"): (
        settings("generation_config.json", eos_token_id="<|im_end|>"),
        r"generation_config\.json has eos_token_id: \"<\|im_end\|>\", where numbers of tokens belong",
    ),
    ("hub", "the folder above"): (
        above("checkpoint-10"),
        "its checkpoint is in checkpoint-10; pass that folder",
    ),
    ("native", "layers that are a word"): (
        yaml(n_layers="x"),
        r"config\.yaml cannot be read as a Molmo config \(Value 'x' .*, key n_layers\); compare it with the base",
    ),
    ("native", "an unknown activation"): (
        yaml(activation_type="silly"),
        r"config\.yaml cannot be read as a Molmo config \(Invalid value 'silly', .*, key activation_type\); compare it",
    ),
    ("native", "no heads"): (yaml(n_heads=0), cannot("n_heads: 0", YAML)),
    ("native", "heads that do not divide"): (yaml(n_heads=7), cannot("d_model: 32, n_heads: 7", YAML)),
    ("native", "no rows of embeddings"): (
        yaml(embedding_size=0),
        cannot("vocab_size: 384, embedding_size: 0", YAML),
    ),
    ("native", "patches of no size"): (
        yaml("vision_backbone", image_patch_size=0),
        r"cannot prepare an image with image_patch_size: 0 in config\.yaml \(.*\); compare",
    ),
    ("native", "images of no size"): (
        yaml("vision_backbone", image_default_input_size=[0, 0]),
        r"cannot prepare an image with image_default_input_size: \[0, 0\] in config\.yaml \(.*\); compare",
    ),
    ("native", "an unknown way to resize"): (
        yaml("vision_backbone", resize_mode="silly"),
        r'cannot prepare an image with resize_mode: "silly" in config\.yaml \(.*\); compare config\.yaml',
    ),
    ("native", "no crops"): (
        yaml(max_crops=0),
        r"cannot prepare an image with max_crops: 0 in config\.yaml \(",
    ),
    ("native", "pooling over nothing"): (
        yaml(image_pooling_h=0),
        r"cannot prepare an image with image_pooling_h: 0 in config\.yaml \(",
    ),
    ("native", "an unknown prompt"): (
        yaml(prompt_type="silly"),
        r'cannot prepare an image with prompt_type: "silly" in config\.yaml \(',
    ),
    ("native", "a config that is a list"): (
        text("config.yaml", "[1]"),
        r"config\.yaml cannot be read as a Molmo config \(.*\); compare it with the base model's, or copy it again",
    ),
    ("native", "a config that is a pointer"): (
        text("config.yaml", POINTER),
        r"config\.yaml is a Git LFS pointer",
    ),
    ("native", "a config that is gone"): (
        dangling("config.yaml"),
        r"config\.yaml is a link to a file that is not there",
    ),
    ("native", "weights that are gone"): (
        dangling("model.pt"),
        r"model\.pt is a link to a file that is not there",
    ),
    ("native", "a tensor under two spellings"): (
        pickled(lambda held: held | {f"_fsdp_wrapped_module.{FIRST}": 2 * held[FIRST]}),
        rf"the weights hold {FIRST} and _fsdp_wrapped_module.{FIRST}, which are both the model's {FIRST}: two sets",
    ),
    ("native", "weights that are a pointer"): (text("model.pt", POINTER), r"model\.pt is a Git LFS pointer"),
    ("native", "weights that are empty"): (
        text("model.pt", ""),
        r"model\.pt is empty; copy the checkpoint again",
    ),
    ("native", "a taller matrix"): (
        pickled(taller),
        r"att_proj\.weight has shape \[67, 32\] in the weights but \[64, 32\] in the model; use the config\.yaml that",
    ),
    ("native", "tensors of no size"): (pickled(emptied), r"has shape \[0\] .* without gathering its parts"),
    ("native", "whole numbers"): (pickled(whole), r"model\.pt: .* is of type torch\.int8, not a float"),
    ("native", "numbers for names"): (
        pickled(lambda _: {0: torch.zeros(1)}),
        r"model\.pt: not a state_dict, which maps names to tensors",
    ),
    ("native", "names under another prefix"): (
        pickled(lambda held: {f"student.{name}": each for name, each in held.items()}),
        r"such as student\.\S+; remove 'student\.'",
    ),
    ("native", "an adapter beside the weights"): (
        adapter,
        r"an adapter \(adapter_config\.json\) beside model\.pt; merge it into the model",
    ),
    ("native", "the folder above"): (above("step100"), "its checkpoint is in step100; pass that folder"),
    ("native", "an end that is a word"): (
        text("generation_config.json", '{"eos_token_id": "x"}'),
        r'generation_config\.json has eos_token_id: "x", where numbers of tokens belong',
    ),
}


def load(folder: Path):
    """Open a checkpoint in the order of ``vlmprobe extract``: checked, fingerprinted, loaded."""
    opened = open_family("molmo")
    options = opened.resolve(LoadOptions(str(folder), trust_remote_code=True))
    fingerprint(options.checkpoint)
    return opened.load(options)


#: What is tried where every change is tried: what is told before a model is made costs next to nothing.
FEW = ("no heads", "a taller matrix", "no crops", "a length that is zero")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param(form, name, marks=() if name in FEW else pytest.mark.full, id=f"{form}, {name}")
        for form, name in REFUSED
    ],
)
def test_what_is_wrong_with_a_molmo_is_one_line(tmp_path, folders, form, name):
    """It names the file, the key or the tensor, and says what to do."""
    change, line = REFUSED[form, name]
    folder = link(tmp_path / "odd", folders[form])
    change(folder)
    with pytest.raises(VlmprobeError) as caught:
        load(folder).close()
    said = str(caught.value)
    assert re.search(line, said), said
    assert "\n" not in said
    assert "odd" in said
    assert "unexpected" not in said.lower()
    assert caught.value.exit_code == 2


@pytest.mark.full
@pytest.mark.parametrize(
    ("form", "change", "note"),
    [
        ("hub", prefixed("module."), "the names of its weights began with 'module.', which was removed"),
        ("hub", settings(_attn_implementation="flash_attention_2"), ""),
        (
            "hub",
            settings(architectures=["Grasper"]),
            "its config names the class Grasper; it was run as MolmoForCausalLM",
        ),
        (
            "hub",
            added(value_head__weight=4),
            "its weights hold modules that MolmoForCausalLM does not have, .*value_head",
        ),
        (
            "native",
            pickled(lambda held: {f"module.{name}": each for name, each in held.items()}),
            "the names of its weights began with 'module.', which was removed",
        ),
        (
            "native",
            pickled(lambda held: {**held, "value_head.weight": torch.zeros(4)}),
            "its weights hold modules that Molmo does not have, .*value_head",
        ),
        ("native", text("other.pt", "x"), "weight files in its folder that were not read: other.pt"),
    ],
)
def test_what_changes_no_number_of_a_molmo_passes(tmp_path, folders, items, form, change, note):
    """Its states are those of the unchanged checkpoint; what a reader should know is a note."""
    folder = link(tmp_path / "odd", folders[form])
    change(folder)
    with load(folder) as odd, load(folders[form]) as good:
        made, expected = odd.run_batch(items[:1]), good.run_batch(items[:1])
        notes = odd.info.manifest["notes"]
    assert (made.states == expected.states).all()
    assert len(notes) == bool(note)
    assert not note or re.search(note, notes[0])
