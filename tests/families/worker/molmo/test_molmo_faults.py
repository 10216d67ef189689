"""What can be wrong with a Molmo checkpoint or its environment: each in one line that says what to do."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import pytest
import torch

from vlmprobe.families import LoadOptions
from vlmprobe.families.worker import ModelFault, PackageFault
from vlmprobe.families.worker.molmo import hub_form as molmo_hub
from vlmprobe.families.worker.molmo import olmo_form as molmo_native
from vlmprobe.families.worker.molmo.family import Molmo

from ....molmo_checkpoints import LAYERS, molmo_code, save_hub, save_native


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


@pytest.fixture
def copy(tmp_path):
    """Link a checkpoint's files into a new folder, some left out (None) or written anew."""

    def make(source, **files):
        made = tmp_path / "changed"
        made.mkdir(parents=True)
        names = {name.replace("__", "."): content for name, content in files.items()}
        for file in source.iterdir():
            if file.name not in names:
                (made / file.name).symlink_to(file)
        for name, content in names.items():
            if content is not None:
                (made / name).write_text(content)
        return made

    return make


def fault(checkpoint, kind=ModelFault, **more):
    """Load it, and return the one line that came of it."""
    options = LoadOptions(str(checkpoint), **{"trust_remote_code": True, **more})
    with pytest.raises(kind) as caught:
        Molmo.load(options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def settings(folder, **changes):
    """Return a config.json with some values changed."""
    return json.dumps(json.loads((folder / "config.json").read_text()) | changes)


def test_code_of_a_checkpoint_is_not_run_unasked(folders):
    """Neither a folder's nor that of a hub id, and nothing is looked up before."""
    for checkpoint in (folders["hub"], "allenai/Molmo-7B-O-0924"):
        said = fault(checkpoint, trust_remote_code=False)
        assert said.endswith("has its own Python code; review it, then pass --trust-remote-code")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"model__safetensors": None},
            r"no weights in this folder \(model.safetensors or pytorch_model.bin\)",
        ),
        ({"config__json": None}, r"no config.json \(Hugging Face form\) and no config.yaml \(olmo's form\)"),
        ({"config__json": "{"}, "config.json is not valid JSON: "),
        ({"config__json": '{"model_type": "llava"}'}, "this is a checkpoint of llava, not molmo"),
        (
            {"config__json": '{"model_type": "molmo"}'},
            "config.json does not name the AutoModelForCausalLM of the checkpoint",
        ),
        (
            {"modeling_molmo__py": None},
            "cannot import modeling_molmo.MolmoForCausalLM, which config.json names",
        ),
        (
            {"preprocessor_config__json": None},
            "preprocessor_config.json is missing; .* AutoImageProcessor .*--processor",
        ),
        (
            {"tokenizer__json": None, "tokenizer_config__json": None},
            "cannot load its tokenizer .*; pass --processor",
        ),
        ({"generation_config__json": "{"}, r"generation_config.json cannot be read \("),
    ],
)
def test_what_a_hugging_face_folder_lacks(folders, copy, files, said):
    """The file, and what to do."""
    assert re.search(said, fault(copy(folders["hub"], **files)))


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (LAYERS - 1, "the weights have blocks.2, but the model in its config ends at blocks.1"),
        (LAYERS + 2, "the weights end at blocks.2, but its config describes a model with blocks.3"),
    ],
)
def test_a_wrong_layer_count_in_config_json(folders, copy, layers, said):
    """Too few would load without a word: the weights are counted."""
    changed = copy(folders["hub"], config__json=settings(folders["hub"], num_hidden_layers=layers))
    assert f"{said}; use the config.json that belongs to these weights" in fault(changed)


def test_a_processor_folder_with_a_bare_tokenizer(folders, copy):
    """The language model's own tokenizer has no image tokens: those of the Hugging Face form come with the files."""
    bare = folders["native"] / "tokenizer"
    assert "preprocessor_config.json is missing; it should name" in fault(folders["hub"], processor=str(bare))
    changed = copy(folders["hub"], tokenizer__json=(bare / "tokenizer.json").read_text())
    assert "this is not a Molmo tokenizer: it has no tokens <im_start> <im_end> " in fault(changed)


def test_a_package_that_the_checkpoints_code_imports(folders, copy):
    """It is named, with the command that installs it."""
    code = "import not_installed_anywhere\n" + (folders["hub"] / "modeling_molmo.py").read_text()
    said = fault(copy(folders["hub"], modeling_molmo__py=code), PackageFault)
    assert said.endswith(
        "needs not_installed_anywhere, which is not installed; run: pip install not_installed_anywhere"
    )


def native_config(folder, **changes):
    """Return a config.yaml with some values of the model changed."""
    config = json.loads((folder / "config.yaml").read_text())
    config["model"] |= changes
    return json.dumps(config)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"n_layers": 2},
            "the model in its config ends at blocks.1; use the config.yaml that belongs to these weights",
        ),
        (
            {"n_layers": 5},
            "its config describes a model with blocks.3; use the config.yaml that belongs to these weights",
        ),
        (
            {"mlp_hidden_size": 64},
            "transformer.blocks.0.ff_out.weight has shape [32, 64] in the weights but [32, 32] in the model",
        ),
        (
            {"qkv_bias": False},
            "the weights hold 3 tensors that the model has no place for, such as transformer.blocks.0.att_proj.bias",
        ),
        (
            {"attention_layer_norm": True},
            "the weights lack 6 tensors of the model, such as transformer.blocks.0.k_norm.weight; ",
        ),
        ({"use_position_ids": False}, "this Molmo does not accept positions"),
        ({"vision_backbone": None}, "no vision_backbone; use a checkpoint with a vision encoder"),
        ({"no_such_setting": 1}, "config.yaml cannot be read as a Molmo config ("),
        ({"crop_mode": "another"}, 'cannot prepare an image with crop_mode: "another" in config.yaml'),
        ({"tokenizer": {"identifier": "some/one"}}, "config.yaml names the tokenizer 'some/one'"),
        ({"vocab_size": 320}, "this tokenizer has its image tokens at 384, but the model of "),
    ],
)
def test_a_config_yaml_that_does_not_fit(folders, copy, changes, said):
    """What differs, seen before anything runs."""
    more = {"processor": str(folders["hub"])} if "vocab_size" in changes else {}
    assert said in fault(
        copy(folders["native"], config__yaml=native_config(folders["native"], **changes)), **more
    )


def test_a_folder_without_model_pt(folders, copy):
    """A sharded checkpoint, say."""
    said = fault(copy(folders["native"], model__pt=None))
    what = "this folder has config.yaml but no model.pt; merge a sharded checkpoint into one file with"
    assert what in said


def test_a_model_pt_that_is_no_plain_state_dict(folders, copy):
    """Nothing is unpickled but tensors; a damaged file says so."""
    changed = copy(folders["native"], model__pt="no archive")
    file = changed / "model.pt"
    assert "model.pt: " in fault(changed)
    torch.save({"model": SimpleNamespace(a=1)}, file)
    assert (
        "holds more than tensors, and only tensors are unpickled; save the model's state_dict alone"
        in fault(changed)
    )
    torch.save({"model": {"a": torch.zeros(1)}}, file)
    assert "not a state_dict, which maps names to tensors" in fault(changed)
    whole = (folders["native"] / "model.pt").read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "model.pt: damaged (" in fault(changed)


def test_a_missing_olmo(folders, monkeypatch):
    """The line says how to get it whole."""
    monkeypatch.setattr(molmo_native, "find_spec", lambda _name: None)
    said = fault(folders["native"], PackageFault, trust_remote_code=False)
    assert (
        "needs the package 'olmo', which is not installed; run: git clone https://github.com/allenai/molmo"
        in said
    )


def test_another_package_named_olmo(folders, monkeypatch, tmp_path):
    """PyPI's ai2-olmo, or Molmo's own as pip installs it: without the part that prepares images."""
    (tmp_path / "olmo").mkdir()
    (tmp_path / "olmo" / "__init__.py").write_text("")
    spec = SimpleNamespace(origin=str(tmp_path / "olmo" / "__init__.py"))
    monkeypatch.setattr(molmo_native, "find_spec", lambda _name: spec)
    said = fault(folders["native"], PackageFault)
    assert (
        "has no data/model_preprocessor.py: this is another model's package, or a non-editable install"
        in said
    )


def test_an_olmo_that_lacks_a_package(folders, monkeypatch):
    """The package is named, and a second attempt begins anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "olmo"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "omegaconf", None)
    said = fault(folders["native"], PackageFault)
    assert "the package 'olmo' needs 'omegaconf', which is not installed; run: pip install omegaconf" in said
    assert "olmo" not in sys.modules
    monkeypatch.delitem(sys.modules, "omegaconf")
    assert Molmo.load(LoadOptions(str(folders["native"]))).info.n_layers == LAYERS


def test_a_processor_that_writes_another_prompt(folders, monkeypatch):
    """The questions' tokens are this family's; a checkpoint whose code writes others is not run."""
    monkeypatch.setattr(molmo_hub.HubInputs, "text", lambda _self, question: f" Q: {question} A:")
    assert "cannot prepare an image (ValueError: the prompt does not end with the question)" in fault(
        folders["hub"]
    )


def test_a_folder_that_is_not_there(tmp_path):
    """Said before trust is asked for."""
    said = fault(tmp_path / "nowhere", trust_remote_code=False)
    assert said.endswith("nowhere: no such folder; use a checkpoint folder or a hub id")
