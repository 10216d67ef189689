"""NVILA: what a checkpoint must hold, and the same answers as by its own package."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmprobe.errors import MissingPackageError, ModelError, UsageError
from vlmprobe.families import LoadOptions, open_family
from vlmprobe.families.environments import Environment

from ....nvila_environment import build_nvila, nvila_environment

HERE = Path(__file__).parent
FORMS = {
    "llava, tiles": ("llava", "dynamic"),
    "llava, scales": ("llava", "dynamic_s2"),
    "llava, first scale": ("llava", "dynamic_s2_first"),
    "llava, one size": ("llava", "resize"),
    "preview": ("preview", "dynamic"),
}


@pytest.fixture
def hollow(tmp_path):
    """Write an NVILA folder that has every file and nothing in it: good enough for what is seen before loading."""
    folder = tmp_path / "hollow"
    config = {"model_type": "llava_llama", "llm_cfg": {"num_hidden_layers": 3}}
    for part in ("llm", "vision_tower", "mm_projector"):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text(json.dumps({"num_hidden_layers": 3}))
        save_file({"weight": torch.zeros(1)}, folder / part / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vision_tower" / "preprocessor_config.json").write_text("{}")
    (folder / "llm" / "tokenizer.json").write_text("{}")
    return folder


def _load(folder, **more):
    return open_family("nvila").load(LoadOptions(str(folder), device="cpu", **more))


def test_a_checkpoint_lacks_a_part(hollow):
    """The line names the folder that is missing, and those that NVILA has."""
    shutil.rmtree(hollow / "llm")
    with pytest.raises(ModelError, match=r"no llm/ in this checkpoint \(NVILA has llm, vision_tower, mm_pro"):
        _load(hollow)
    (hollow / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="merge the adapter into its base model first"):
        _load(hollow)


def test_a_part_without_weights(hollow):
    """The folder is named, not the checkpoint alone."""
    (hollow / "llm" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"hollow/llm: no weights in this folder \(model.safetensors or"):
        _load(hollow)


def test_a_checkpoint_of_another_architecture(hollow):
    """Whatever config.json says it is."""
    (hollow / "config.json").write_text('{"model_type": "llava_topdown_llama"}')
    with pytest.raises(ModelError, match="a checkpoint of llava_topdown_llama, not NVILA"):
        _load(hollow)


def test_code_in_a_checkpoint_needs_consent(hollow):
    """In the root, which makes it the preview form, and in a part, which llava would run without asking."""
    (hollow / "vision_tower" / "config.json").write_text('{"auto_map": {"AutoConfig": "code.Config"}}')
    with pytest.raises(
        ModelError, match="its own Python code in vision_tower/; review it, then pass --trust"
    ):
        _load(hollow)
    (hollow / "vision_tower" / "config.json").write_text("{}")
    (hollow / "config.json").write_text(
        '{"model_type": "vila", "auto_map": {"AutoModel": "modeling_vila.Model"}}'
    )
    with pytest.raises(ModelError, match="its own Python code; review it, then pass --trust-remote-code"):
        _load(hollow)


def test_another_processor_is_refused(hollow):
    """It would not be used."""
    with pytest.raises(UsageError, match="NVILA's tokenizer and image processor are in the checkpoint"):
        _load(hollow, processor="Qwen/Qwen2.5-VL-3B-Instruct")


def test_this_environment_cannot_run_it(hollow):
    """Both forms: transformers is too new; the line says how to make an environment."""
    for config, more in (
        ({"model_type": "llava_llama"}, {}),
        ({"model_type": "vila", "auto_map": {"AutoModel": "m.M"}}, {"trust_remote_code": True}),
    ):
        (hollow / "config.json").write_text(json.dumps(config))
        with pytest.raises(
            MissingPackageError,
            match=r"cannot run on transformers 5.*NVlabs/VILA.*\[families.nvila\] python = .*docs/scales.md",
        ):
            _load(hollow, **more)


@pytest.fixture(scope="module")
def elsewhere():
    """Return NVILA's environment, a clone of VILA on its path."""
    python, clone = nvila_environment()
    return Environment(str(python), (str(clone),))


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Build a tiny random checkpoint of a form; the same one twice is built once."""
    built = {}

    def make(form):
        if form not in built:
            folder = tmp_path_factory.mktemp("nvila") / "checkpoint"
            build_nvila(folder, *FORMS[form])
            built[form] = folder
        return built[form]

    return make


@pytest.fixture
def load(elsewhere):
    """Load a checkpoint in NVILA's environment."""
    families = []

    def load(folder, environment=elsewhere, **more):
        family = open_family("nvila", environment)
        families.append(family)
        return family.load(family.resolve(LoadOptions(str(folder), device="cpu", **more)))

    yield load
    for family in families:
        family.close()


@pytest.mark.full
@pytest.mark.parametrize("form", FORMS)
def test_its_package_gives_the_same_answers_from_the_same_inputs(form, build, elsewhere):
    """``generate_content`` in float16, its only format: ids and tiles bit for bit, and the greedy answers.

    In float32 every weight is the file's: none went through float16 on the way.
    """
    done = subprocess.run(
        [elsewhere.python, str(HERE / "nvila_by_its_package.py"), str(build(form)), elsewhere.pythonpath[0]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["same_ids"]
    assert said["same_tiles"]
    assert said["same_settings"]
    assert said["package"] == said["plain"] == said["fast"]
    assert len(set(said["package"])) == 2
    assert said["dtypes"] == ["torch.float16"]
    assert said["weights_as_stored"]


@pytest.mark.full
@pytest.mark.parametrize("form", FORMS)
def test_the_shared_prefix_equals_one_forward_a_question(form, build, load, items):
    """In float32 within 1e-5 of each hidden state's length, every answer equal; images of several sizes."""
    model = load(build(form), trust_remote_code=form == "preview")
    fast, plain = model.run_batch(items), model.run_plain(items)
    error = np.linalg.norm(fast.states - plain.states, axis=-1) / np.linalg.norm(plain.states, axis=-1)
    assert fast.states.shape == (3, len(items), 2, 32)
    assert 0 < error.max() <= 1e-5
    assert fast.texts == plain.texts
    np.testing.assert_allclose(fast.margins, plain.margins, atol=1e-4)


@pytest.mark.full
def test_both_forms_of_the_same_weights_agree(build, load, items):
    """The preview form's own code and llava: equal hidden states and answers."""
    ours = load(build("llava, tiles")).run_batch(items)
    preview = load(build("preview"), trust_remote_code=True).run_batch(items)
    np.testing.assert_allclose(preview.states, ours.states, rtol=1e-5, atol=1e-6)
    assert preview.texts == ours.texts


@pytest.mark.full
def test_the_manifest_says_what_it_is_built_on(build, load, items):
    """The language backbone as its config has it, where the layers are, what took the place of a package."""
    model = load(build("llava, tiles"))
    manifest = model.info.manifest
    assert manifest["language_backbone"] == {
        "class": "Qwen2ForCausalLM",
        "model_type": "qwen2",
        "layers": 3,
        "dim": 32,
    }
    assert manifest["layers_at"] == "llm.model.layers"
    assert (manifest["form"], manifest["conversation"], manifest["images"]) == ("llava", "auto", "dynamic")
    assert "torchvision" in manifest["stand_ins"]
    # The language model's own generation config, with a repetition penalty, is not what generate_content uses.
    assert manifest["logits_processors"] == []
    prompt = model.first_prompt(items[0])
    assert prompt["text"].count("<image>\n") == prompt["tiles"] > 1


@pytest.mark.full
def test_a_folders_name_chooses_the_conversation_and_those_above_it_do_not(build, load, tmp_path):
    """VILA looks for names like llama3 in the whole path: a folder above a checkpoint would change its prompts."""
    inside = tmp_path / "llama3" / "checkpoint"
    shutil.copytree(build("llava, tiles"), inside)
    assert load(inside).info.manifest["conversation"] == "auto"
    named = tmp_path / "my-llama3"
    shutil.copytree(inside, named)
    assert load(named).info.manifest["conversation"] == "llama_3"


@pytest.mark.full
def test_a_config_with_another_number_of_layers_is_refused(build, load, tmp_path):
    """The root's copy of the language model's config is compared with what was loaded."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(build("llava, tiles"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["llm_cfg"]["num_hidden_layers"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"found 3 decoder layers, but llm_cfg in config.json says 4"):
        load(folder)


@pytest.mark.full
def test_configs_that_agree_on_too_few_layers_are_refused(build, load, tmp_path):
    """The weights themselves are counted too: what has no place in the model would be left out without a word."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(build("llava, tiles"), folder)
    for file, part in ((folder / "config.json", "llm_cfg"), (folder / "llm" / "config.json", None)):
        config = json.loads(file.read_text())
        (config if part is None else config[part])["num_hidden_layers"] = 2
        file.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"llm/: the weights have layers.2, .* ends at layers.1"):
        load(folder)


@pytest.mark.full
def test_a_tensor_that_is_not_in_the_files_is_refused(build, load, tmp_path):
    """The loader would make it up, with no more than a warning."""
    folder = tmp_path / "checkpoint"
    shutil.copytree(build("llava, tiles"), folder)
    file = folder / "mm_projector" / "model.safetensors"
    tensors = load_file(file)
    lost = sorted(tensors)[0]
    del tensors[lost]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=rf"mm_projector/: the weights lack 1 tensors of the model, such as {lost}"
    ):
        load(folder)


@pytest.mark.full
def test_a_preview_in_a_folder_with_a_dot_is_one_line(build, load, tmp_path):
    """Transformers makes a module's name of it."""
    folder = tmp_path / "nvila-v1.5"
    shutil.copytree(build("preview"), folder)
    with pytest.raises(ModelError, match="a folder with a dot in its name; rename the folder"):
        load(folder, trust_remote_code=True)


@pytest.mark.full
def test_an_environment_without_llava_is_one_line(build, load, elsewhere):
    """No clone on its path: the line says where to get it, and not to install PyPI's package of that name."""
    with pytest.raises(MissingPackageError, match=r"finds no package 'llava'; .*NVlabs/VILA.*pythonpath = "):
        load(build("llava, tiles"), Environment(elsewhere.python))
