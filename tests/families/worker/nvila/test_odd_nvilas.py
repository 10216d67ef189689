"""A good NVILA with one thing changed in one of its folders: one line with file, key and way out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from vlmprobe.errors import VlmprobeError
from vlmprobe.families import LoadOptions, open_family

from ....nvila_environment import build_nvila, nvila_environment
from ....odd_folders import (
    PAGE,
    POINTER,
    WEIGHTS,
    above,
    dangling,
    link,
    settings,
    text,
    weights,
    without,
    write,
)

if TYPE_CHECKING:
    from ....odd_folders import Change

PARTS = ("llm", "vision_tower", "mm_projector")
IMAGES = "vision_tower/preprocessor_config.json"


def whole(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn matrices into 8-bit whole numbers."""
    return {name: each.to(torch.int8) if each.ndim > 1 else each for name, each in tensors.items()}


def taller(tensors: dict[str, torch.Tensor]) -> None:
    """Give a matrix more rows than the config says."""
    name = next(name for name in sorted(tensors) if tensors[name].ndim > 1)
    tensors[name] = torch.cat([tensors[name], tensors[name][:3]])


def emptied(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave no number in a matrix."""
    return {name: torch.empty(0) if each.ndim > 1 else each for name, each in tensors.items()}


def both(part: str, **values: object) -> Change:
    """Set keys of a part's config, and of the root's copy of it."""

    def change(folder: Path) -> None:
        settings(f"{part}/config.json", **values)(folder)
        said = json.loads((folder / "config.json").read_text())
        said.setdefault(f"{part}_cfg", {}).update(values)
        write(folder, "config.json", json.dumps(said))

    return change


#: Mutation -> what the line says; seen before NVILA's code is imported, so that no environment is needed.
BEFORE: dict[str, tuple[Change, str]] = {
    "a config that is a list": (text("config.json", "[1]"), r"config\.json holds a list, not settings"),
    "a config that is a pointer": (text("config.json", POINTER), r"config\.json is a Git LFS pointer"),
    "an empty config": (text("config.json", ""), r"config\.json is empty; copy the checkpoint again"),
    "a config with a mark of its encoding": (
        text("config.json", b"\xef\xbb\xbf{}"),
        r"config\.json is not valid JSON: misplaced UTF-8 BOM .*; copy it again",
    ),
    "a config without end": (
        text("config.json", "[" * 100_000),
        r"config\.json is not valid JSON: .*; copy it again",
    ),
    "a part's config that is a list": (
        text("llm/config.json", "[1]"),
        r"llm/config\.json holds a list, not settings",
    ),
    "a part's config that is empty": (
        text("mm_projector/config.json", ""),
        r"mm_projector/config\.json is empty; copy",
    ),
    "a part's config that is gone": (
        dangling("llm/config.json"),
        r"odd/llm: config\.json is a link to a file that is",
    ),
    "a copy of a part that is a word": (
        settings(llm_cfg="x"),
        r'config\.json has llm_cfg: "x", where the settings of llm/ belong; put the content of llm/config\.json there',
    ),
    "layers that are a word": (
        both("llm", num_hidden_layers="three"),
        r'of llm/config\.json with num_hidden_layers: "three"; write the number of decoder layers',
    ),
    "no layers": (
        settings(llm_cfg={"num_hidden_layers": 0}),
        r"of config\.json with num_hidden_layers: 0; write the number of decoder layers",
    ),
    "quantized weights": (
        settings("vision_tower/config.json", quantization_config={"quant_method": "gptq"}),
        r"vision_tower/config\.json says that the weights are quantized \(quantization_config, gptq\)",
    ),
    "quantized weights of the whole": (
        settings(quantization_config={"quant_method": "awq"}),
        r": config\.json says that the weights are quantized \(quantization_config, awq\)",
    ),
    "tiles of no kind": (
        settings(image_aspect_ratio=None),
        r"config\.json has image_aspect_ratio: null; use the base",
    ),
    "scales that are not there": (
        settings(image_aspect_ratio="dynamic_s2"),
        r'config\.json has image_aspect_ratio: "dynamic_s2", but no s2_scales; use the base',
    ),
    "a tower of no class": (
        settings("vision_tower/config.json", architectures=None),
        r"vision_tower/config\.json with architectures: null; compare it",
    ),
    "a projector of no type": (
        settings("mm_projector/config.json", mm_projector_type=None),
        r"mm_projector/config\.json with mm_projector_type: null; compare it",
    ),
    "a size of one number": (
        settings(IMAGES, size=56),
        r'preprocessor_config\.json has size: 56; write "size": {"height": N, "width": N}, both in pixels',
    ),
    "a size of zero": (
        settings(IMAGES, size={"height": 0, "width": 0}),
        r'preprocessor_config\.json has size: {"height": 0, "width": 0}; write "size"',
    ),
    "a mean of one color": (
        settings(IMAGES, image_mean=[0.5]),
        r"vision_tower/preprocessor_config\.json has image_mean: \[0\.5\]; write one number for each",
    ),
    "a deviation of zero": (
        settings(IMAGES, image_std=[0.5, 0, 0.5]),
        r"vision_tower/preprocessor_config\.json has image_std: .*, each above 0",
    ),
    "a processor's file that is cut": (
        text(IMAGES, "{"),
        r"preprocessor_config\.json is not valid JSON: .*; copy it",
    ),
    "no processor's file": (
        without(IMAGES),
        r"no vision_tower/preprocessor_config\.json; copy it from the base model",
    ),
    "no tokenizer": (
        without("llm/tokenizer.json"),
        r"llm/ has no tokenizer \(tokenizer\.json, vocab\.json or",
    ),
    "a tokenizer's file that is cut": (
        text("llm/tokenizer.json", '{"version": 1'),
        r"llm/tokenizer\.json is not valid JSON \(.*\); copy it again",
    ),
    "weights that are a pointer": (
        text(f"llm/{WEIGHTS}", POINTER),
        r"llm/model\.safetensors is a Git LFS pointer",
    ),
    "weights that are a page": (
        text(f"vision_tower/{WEIGHTS}", PAGE),
        r"vision_tower/model\.safetensors is an HTML",
    ),
    "weights that are gone": (
        dangling(f"mm_projector/{WEIGHTS}"),
        r"odd/mm_projector: model\.safetensors is a link to",
    ),
    "whole numbers": (
        weights(whole, f"llm/{WEIGHTS}"),
        r"llm/model\.safetensors: matrix\.weight is of type I8, not a float of 16 bits",
    ),
    "a part that is a file": (
        lambda folder: (without("llm")(folder), write(folder, "llm", "x")),
        r"no llm/ in this checkpoint \(NVILA has llm, vision_tower, mm_projector\); copy all of it",
    ),
    "an adapter beside the parts": (
        text("adapter_config.json", "{}"),
        r"an adapter \(adapter_config\.json\) beside llm/; merge it into the model",
    ),
    "the folder above": (above("checkpoint-10"), "its checkpoint is in checkpoint-10; pass that folder"),
}


@pytest.fixture(scope="module")
def hollow(tmp_path_factory) -> Path:
    """Write an NVILA folder in which every file is there and says little: good enough until its code is imported."""
    folder = tmp_path_factory.mktemp("hollow") / "nvila"
    for part in PARTS:
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")
        save_file({"matrix.weight": torch.zeros(1, 1)}, folder / part / WEIGHTS)
    (folder / "config.json").write_text('{"model_type": "llava_llama", "llm_cfg": {}}')
    (folder / "llm" / "config.json").write_text('{"num_hidden_layers": 3}')
    (folder / "llm" / "tokenizer.json").write_text("{}")
    (folder / IMAGES).write_text("{}")
    return folder


@pytest.mark.parametrize("name", BEFORE)
def test_what_is_wrong_with_an_nvila_is_one_line(tmp_path, hollow, name):
    """It names the file below the checkpoint's folder, the key, and says what to do."""
    change, line = BEFORE[name]
    folder = link(tmp_path / "odd", hollow)
    change(folder)
    opened, options = open_family("nvila"), LoadOptions(str(folder), device="cpu", trust_remote_code=True)
    with pytest.raises(VlmprobeError) as caught:
        opened.load(opened.resolve(options))
    said = str(caught.value)
    assert re.search(line, said), said
    assert "\n" not in said
    assert "odd" in said
    assert "unexpected" not in said.lower()


def made(part: str, keys: str) -> str:
    """Return what is said of a config that no model can be made of."""
    return rf"no model can be made of config\.json and {part}/config\.json with {keys} \(.*\); compare these files"


#: Mutation -> what the line says, or the note that it leaves; by NVILA's own code.
BY_ITS_CODE: dict[str, tuple[Change, str]] = {
    "a size that is a word": (both("llm", hidden_size="large"), made("llm", 'hidden_size: "large"')),
    "no heads": (both("llm", num_attention_heads=0), made("llm", "num_attention_heads: 0")),
    "heads that do not divide": (both("llm", num_attention_heads=7), made("llm", "num_attention_heads: 7")),
    "an unknown activation": (both("llm", hidden_act="silly"), made("llm", 'hidden_act: "silly"')),
    "an unknown number format": (both("llm", torch_dtype="bf16"), made("llm", 'torch_dtype: "bf16"')),
    "angles that are a word": (both("llm", rope_theta="x"), made("llm", 'rope_theta: "x"')),
    "padding outside the vocabulary": (
        both("llm", pad_token_id=99999),
        made("llm", "vocab_size: 264, pad_token_id: 99999"),
    ),
    "another width": (
        both("llm", hidden_size=48),
        r"has shape \[264, 32\] in the weights but \[264, 48\] in the model",
    ),
    "fewer layers": (
        both("llm", num_hidden_layers=2),
        r"llm/: the weights have layers\.2, but the model in its config",
    ),
    "a tower without heads": (
        both("vision_tower", num_attention_heads=0),
        made("vision_tower", "num_attention_heads: 0"),
    ),
    "a tower of words": (both("vision_tower", image_size="x"), made("vision_tower", 'image_size: "x"')),
    "a tower of other patches": (
        both("vision_tower", patch_size=7),
        r"patch_embedding\.weight has shape \[32, 3, 14, 14\] in the weights but \[32, 3, 7, 7\] in the model",
    ),
    "an unknown projector": (
        both("mm_projector", mm_projector_type="silly"),
        made("mm_projector", 'mm_projector_type: "silly"'),
    ),
    "a layer that the tower lacks": (
        settings(mm_vision_select_layer=99),
        r"an image and a question with mm_vision_select_layer: 99 in config\.json \(.*\); compare it",
    ),
    "features of no kind": (
        settings(mm_vision_select_feature="silly"),
        r'an image and a question with mm_vision_select_feature: "silly" in config\.json \(.*\); compare it',
    ),
    "tiles that are a word": (
        settings(max_tiles="many"),
        r'an image and a question with max_tiles: "many" in config\.json \(.*\); compare it',
    ),
    "images of another size": (
        settings(IMAGES, size={"height": 28, "width": 28}),
        r"as config\.json and vision_tower/preprocessor_config\.json say \(.*\); compare these files",
    ),
    "a factor that is a word": (
        settings(IMAGES, rescale_factor="x"),
        r'with rescale_factor: "x" in vision_tower/preprocessor_config\.json \(.*\); compare it',
    ),
    "no chat template": (
        settings("llm/tokenizer_config.json", chat_template=None),
        r"llm/tokenizer_config\.json has no usable chat_template \(.*\); copy the base model's",
    ),
    "a template that refuses": (
        settings("llm/tokenizer_config.json", chat_template="{{ raise_exception('Only text') }}"),
        r"llm/tokenizer_config\.json has no usable chat_template \(TemplateError: Only text\); copy",
    ),
    "nonsense for weights": (
        text(f"llm/{WEIGHTS}", b"\x00\xff" * 99),
        r"llm/model\.safetensors is damaged \(.*\); copy the checkpoint again",
    ),
    "a taller matrix of the tower": (
        weights(taller, f"vision_tower/{WEIGHTS}"),
        r"has shape \[.*\] in the weights but \[.*\] in the model; use the config\.json that belongs",
    ),
    "a projector of no size": (
        weights(emptied, f"mm_projector/{WEIGHTS}"),
        r"has shape \[0\] in the weights .* without gathering its parts",
    ),
    "names under a prefix": (
        weights(lambda held: {f"module.{name}": each for name, each in held.items()}, f"llm/{WEIGHTS}"),
        r"llm/: the weights lack .*; remove 'module\.' from the beginning of the names",
    ),
    "attention of a package": (both("llm", _attn_implementation="flash_attention_2"), ""),
    "another class": (
        both("llm", architectures=["Grasper"]),
        "its config names the class Grasper; it was run as Qwen2ForCausalLM",
    ),
    "weights in the root": (
        lambda folder: save_file({"a": torch.zeros(1)}, folder / WEIGHTS),
        "weight files in its folder that were not read: model.safetensors",
    ),
    "a head of its own": (
        weights(lambda held: {**held, "value_head.weight": torch.zeros(4)}, f"llm/{WEIGHTS}"),
        r"modules that Qwen2ForCausalLM does not have, which no number contains: value_head \(1 tensors\)",
    ),
}
NOTED = ("attention of a package", "another class", "weights in the root", "a head of its own")


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> dict[str, dict[str, object]]:
    """Change a tiny checkpoint in each way; load all in one process of NVILA's environment."""
    python, clone = nvila_environment()
    home = tmp_path_factory.mktemp("odd")
    build_nvila(home / "good")
    folders = {name: link(home / f"odd-{place}", home / "good") for place, name in enumerate(BY_ITS_CODE)}
    for name, folder in folders.items():
        BY_ITS_CODE[name][0](folder)
    script = Path(__file__).with_name("nvila_lines.py")
    done = subprocess.run(
        [str(python), str(script), str(clone)],
        input="\n".join(map(str, folders.values())),
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stderr.write(done.stderr)
    return dict(zip(folders, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.full
@pytest.mark.parametrize("name", BY_ITS_CODE)
def test_what_nvilas_own_code_raises_is_one_line(lines, name):
    """Whatever its classes raise names file and key; what changes no number is a note, or nothing."""
    line = BY_ITS_CODE[name][1]
    found = lines[name]
    if name in NOTED:
        assert bool(line) == len(found["notes"]), found
        assert not line or re.search(line, found["notes"][0])
        return
    said = str(found.get("line"))
    assert found.get("kind") == "model", found
    assert re.search(line, said), said
    assert "\n" not in said
    assert "odd" in said
    assert "unexpected" not in said.lower()
