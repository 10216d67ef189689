"""Molmo in both of its forms: the fast path against plain forwards, and one form against the other."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from vlmprobe.families import BatchItem, LoadOptions, compare, fingerprint
from vlmprobe.families.worker import UsageFault
from vlmprobe.families.worker.molmo.family import Molmo

from ....model_code import model_code
from ....molmo_checkpoints import DIM, LAYERS, molmo_code, save_hub, save_native
from ...conftest import QUESTIONS, WORDS

FORMS = ["hub", "native"]


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


@pytest.fixture(scope="module")
def load(folders):
    """Load each form once."""
    loaded = {}

    def model(form):
        if form not in loaded:
            loaded[form] = Molmo.load(options(folders[form]))
        return loaded[form]

    return model


def options(folder, **more):
    """Give what loads a folder of either form."""
    return LoadOptions(str(folder), **{"trust_remote_code": (folder / "config.json").is_file(), **more})


def noise(seed, size):
    """Make an image each crop of which is another."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def items():
    """Four pairs about three images: an overview with one crop and with three; one narrower than a crop's margin."""
    images = [noise(0, (300, 300)), noise(1, (640, 320)), noise(2, (112, 200))]
    return [
        BatchItem(f"p{n}", images[n % 3], QUESTIONS[n % 3], (WORDS[n % 3], WORDS[n % 3][::-1]))
        for n in range(4)
    ]


@pytest.mark.parametrize("form", FORMS)
def test_the_output_layer_gives_the_models_own_logits(load, items, form):
    """Rows, times the gain, of the last layer's normed state: the right head and the right norm, whatever its class."""
    model = load(form)
    found = model.unembedding(["left", "right"])
    state = model.run_plain(items[:1]).states[-1, 0, 0]
    logits = model.plain_logits(model.plain_inputs(items[0].image, items[0].questions[0]))[0]
    ours = found.rows @ (state / np.sqrt(np.square(state).mean()) * found.gain)
    theirs = logits[list(found.tokens)].detach().numpy()
    np.testing.assert_allclose(ours - ours.mean(), theirs - theirs.mean(), atol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_the_fast_path_is_the_plain_one(load, items, form):
    """Prefixes padded on the left, a shared cache: no state moves by more than 1e-5, no answer differs."""
    model = load(form)
    fast, plain = model.run_batch(items), model.run_plain(items)
    found = compare(fast, plain, model.info.layers)
    print(f"\n{form}: max |dh|/|h| = {found.max_rel_dh:.1e}")
    assert fast.states.shape == (LAYERS, 4, 2, DIM)
    assert found.max_rel_dh <= 1e-5
    assert fast.texts == plain.texts
    np.testing.assert_allclose(fast.margins, plain.margins, atol=1e-4)


def test_the_deltas_are_no_rounding(load, items):
    """What the question changes is far above the tolerance, or the test above would show nothing."""
    states = load("hub").run_batch(items).states
    ratio = np.linalg.norm(states[:, :, 1] - states[:, :, 0], axis=-1) / np.linalg.norm(
        states[:, :, 0], axis=-1
    )
    assert ratio.min() > 1e-2


def test_both_forms_of_the_same_weights_give_the_same_numbers(folders, items):
    """Prompt, states, answers and margins are equal to the last bit, on the fast path and on the plain one.

    The weights are copied first: a safetensors file is mapped to memory at an address that is no multiple of 64, and
    the product of a single row then rounds otherwise (3e-7 of a margin). The published remote code resizes images by
    TensorFlow where that is installed, whose pixels differ a little from torch's.
    """
    hub, native = (Molmo.load(options(folders[form])) for form in FORMS)
    assert [hub.first_prompt(item) for item in items] == [native.first_prompt(item) for item in items]
    if "torch" not in hub.info.manifest["image_backend"]:
        pytest.skip("TensorFlow is installed, and the checkpoint's code resizes with it")
    for model in (hub, native):
        for parameter in model._core.parameters():
            parameter.data = parameter.data.clone()
    for run in ("run_batch", "run_plain"):
        ours, theirs = (getattr(model, run)(items) for model in (hub, native))
        print(f"\n{run}: largest difference of a hidden state {np.abs(ours.states - theirs.states).max()}")
        np.testing.assert_array_equal(ours.states, theirs.states)
        np.testing.assert_array_equal(ours.margins, theirs.margins)
        assert ours.texts == theirs.texts


def test_the_plain_forward_is_that_of_the_checkpoints_own_class(load, items):
    """Molmo as transformers would call it: the same logits, bit for bit."""
    model = load("hub")
    inputs = model.plain_inputs(items[1].image, items[1].questions[0])
    with torch.inference_mode():
        own = model.model(**inputs, last_logits_only=True).logits[:, -1]
        assert torch.equal(model.plain_logits(inputs), own)


def test_the_plain_forward_is_that_of_a_model_that_olmo_builds(load, folders, items):
    """Built with its weights copied in, as olmo's from_checkpoint does it: the same logits up to rounding."""
    import olmo.config
    import olmo.model

    model = load("native")
    config = olmo.config.ModelConfig.load(
        folders["native"] / "config.yaml", key="model", validate_paths=False
    )
    config.init_device = "cpu"
    built = olmo.model.Molmo(config).eval()
    built.load_state_dict(torch.load(folders["native"] / "model.pt", weights_only=True))
    inputs = model.plain_inputs(items[1].image, items[1].questions[0])
    with torch.inference_mode():
        own = built(**inputs, last_logits_only=True).logits[:, -1]
        torch.testing.assert_close(model.plain_logits(inputs), own, rtol=0, atol=1e-6)


def test_the_prompt_is_that_of_olmos_own_pipeline(load, items, monkeypatch):
    """Formatter and preprocessor set up by olmo from the same config make the same prompt and the same crops.

    Its module imports the training datasets' package, which is not wanted here: a mock stands in for it.
    """
    import importlib
    from unittest.mock import MagicMock

    from vlmprobe.families.worker.molmo.stand_ins import stand_ins

    model = load("native")
    for name in (
        "datasets",
        "requests",
        "urllib3",
        "urllib3.exceptions",
        "urllib3.util",
        "requests.adapters",
    ):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    model._core.config.get_tokenizer = lambda: model._inputs._preprocess.tokenizer
    with stand_ins():
        data = importlib.import_module("olmo.data")
    preprocess = data.build_mm_preprocessor(model._core.config, for_inference=True)
    for name in [name for name in sys.modules if name.startswith(("olmo.data", "olmo.hf_datasets"))]:
        monkeypatch.delitem(sys.modules, name)
    item = items[1]
    made = preprocess({"image": item.image, "question": item.questions[0], "style": "demo"})
    ours = model.plain_inputs(item.image, item.questions[0])
    assert made["input_tokens"].tolist() == ours["input_ids"][0].tolist()
    for theirs, name in (
        ("images", "images"),
        ("image_masks", "image_masks"),
        ("image_input_idx", "image_input_idx"),
    ):
        np.testing.assert_array_equal(made[theirs], ours[name][0].numpy())


def test_each_image_is_cut_and_encoded_once(load, items, monkeypatch):
    """Two questions of a pair, two pairs about an image: one preparation, one pass of the image tower."""
    model = load("native")
    cut, encoded = [], []
    process, encode = model._inputs.process, model._encode
    monkeypatch.setattr(model._inputs, "process", lambda *given: cut.append(1) or process(*given))
    monkeypatch.setattr(model, "_encode", lambda image: encoded.append(1) or encode(image))
    model.run_batch([items[0], items[3], items[1]])
    assert (len(cut), len(encoded)) == (2, 2)


@pytest.mark.parametrize("form", FORMS)
def test_images_are_prepared_in_several_threads_at_once(load, items, form):
    """The next batch is prepared while this one's certificate prepares its own: no stand-in is taken from the other."""
    inputs = load(form)._inputs
    work = [(item.image, item.questions[0]) for item in items] * 8
    expected = [inputs.prepare(*each).head for each in work[: len(items)]] * 8
    with ThreadPoolExecutor(4) as pool:
        assert [each.head for each in pool.map(lambda each: inputs.prepare(*each), work)] == expected


@pytest.mark.parametrize("form", FORMS)
def test_the_manifest_says_what_was_loaded(load, form):
    """Which form, where the layers are, what resized the images, which kernel."""
    manifest = load(form).info.manifest
    expected = {"hub": ("hugging face", "model."), "native": ("olmo", "")}[form]
    assert (manifest["form"], manifest["layers_at"]) == (expected[0], f"{expected[1]}transformer.blocks")
    assert (manifest["model_type"], manifest["attention"], manifest["shared_prefix"]) == (
        "molmo",
        "sdpa",
        True,
    )
    assert manifest["image_backend"].removeprefix("torch, for ") in {"tensorflow", "torchvision"}
    assert manifest["end_tokens"] == [256]
    json.dumps(manifest)


def test_the_commit_of_the_code_is_on_record(load):
    """Olmo is run from a clone, which moves on; the Hugging Face form's code is the checkpoint's own."""
    clone = model_code("molmo")
    if not (clone / ".git").exists():
        pytest.skip(f"{clone} is no clone")
    done = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert load("native").info.manifest["code_commit"] == done.stdout.strip()
    assert "code_commit" not in load("hub").info.manifest


def test_the_number_format_is_the_one_asked_for(tmp_path, items):
    """A bfloat16 file runs in either format, in both forms; in bfloat16 the states are those of float32, rounded."""
    hub = save_hub(tmp_path / "hub", dtype=torch.bfloat16)
    folders = {"hub": hub, "native": save_native(tmp_path / "native", hub)}
    exact = {form: Molmo.load(options(folders[form])) for form in FORMS}
    half = {form: Molmo.load(options(folders[form], dtype="bfloat16")) for form in FORMS}
    some = items[1:2]
    expected = exact["native"].run_plain(some).states
    for form in FORMS:
        assert {parameter.dtype for parameter in exact[form]._core.parameters()} == {torch.float32}
        assert {parameter.dtype for parameter in half[form]._core.parameters()} == {torch.bfloat16}
        for run in (half[form].run_batch, half[form].run_plain):
            made = run(some)
            assert (made.dtype, made.states.dtype) == ("bfloat16", np.uint16)
            states = (made.states.astype(np.uint32) << 16).view(np.float32)
            off = np.linalg.norm(states - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
            print(f"\n{form} in bfloat16: max |dh|/|h| = {off.max():.3f}")
            assert off.max() < 0.05


@pytest.mark.parametrize("form", FORMS)
def test_a_selection_of_layers(folders, form):
    """Only these are kept; one that is not there is named."""
    assert Molmo.load(options(folders[form], layers=(2, 0))).info.layers == (0, 2)
    with pytest.raises(UsageFault, match="layer 3 does not exist; this model has layers 0 to 2"):
        Molmo.load(options(folders[form], layers=(3,)))


@pytest.mark.parametrize("form", FORMS)
def test_a_question_that_smuggles_in_an_image_token_is_refused(load, items, form):
    """It would look like a place for the image's features."""
    question = "Is <im_patch> left or right?"
    with pytest.raises(ValueError, match="image token"):
        load(form).run_batch([BatchItem("p", items[0].image, (question, question), items[0].answers)])


@pytest.mark.parametrize("form", FORMS)
def test_the_checkpoints_own_logits_processors_are_used(tmp_path, folders, load, items, form):
    """A repetition penalty changes the answers, and does so on the plain path as well."""
    copy = changed(tmp_path, folders[form], {"generation_config.json": '{"repetition_penalty": 5.0}'})
    model = Molmo.load(options(copy))
    fast = model.run_batch(items[:2])
    assert fast.texts == model.run_plain(items[:2]).texts
    assert fast.texts != load(form).run_batch(items[:2]).texts
    assert model.info.manifest["logits_processors"] == ["RepetitionPenaltyLogitsProcessor"]


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_ends_with_the_tokenizers_end_token(tmp_path, folders, load, items, form):
    """Published checkpoints name no end token; one that names another is heard."""
    model = load(form)
    decode = model._decoder.decode
    found = []
    model._decoder.decode = lambda *given: found.append(decode(*given)) or found[-1]
    model.run_batch(items[:1])
    del model._decoder.decode
    third = found[0][0][0][2]
    copy = changed(tmp_path, folders[form], {"generation_config.json": json.dumps({"eos_token_id": third})})
    ended = Molmo.load(options(copy))
    assert ended.info.manifest["end_tokens"] == [third]
    assert len(ended.run_batch(items[:1]).texts[0][0]) < len(model.run_batch(items[:1]).texts[0][0])


@pytest.mark.parametrize("form", FORMS)
def test_loading_leaves_the_process_as_it_was(folders, form):
    """Building a Molmo switches attention kernels off for all models; no stand-in for a package stays importable."""
    torch.backends.cuda.enable_mem_efficient_sdp(enabled=True)
    before = {
        name for name in sys.modules if name.partition(".")[0] in {"boto3", "cached_path", "torchvision"}
    }
    Molmo.load(options(folders[form]))
    assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert before == {
        name for name in sys.modules if name.partition(".")[0] in {"boto3", "cached_path", "torchvision"}
    }


def test_a_processor_folder_stands_in_for_the_tokenizer_of_config_yaml(tmp_path, folders, load, items):
    """Its image tokens are taken as they are; that it could run code of its own is not even asked about."""
    text = (folders["native"] / "config.yaml").read_text()
    gone = text.replace(str(folders["native"] / "tokenizer"), "somebody/who-is-not-there")
    copy = changed(tmp_path, folders["native"], {"config.yaml": gone})
    model = Molmo.load(options(copy, processor=str(folders["hub"])))
    assert model.first_prompt(items[0]) == load("native").first_prompt(items[0])


def test_blocks_that_were_grouped_for_training_are_found(tmp_path, folders, load, items):
    """Fine-tuning may wrap blocks in groups, and the whole model for several GPUs: the weights' names show it."""
    weights = torch.load(folders["native"] / "model.pt", weights_only=True)
    grouped = {
        "_fsdp_wrapped_module." + name.replace("transformer.blocks.", "transformer.block_groups.0."): each
        for name, each in weights.items()
    }
    save_native(tmp_path / "grouped", folders["hub"], config={"block_group_size": LAYERS})
    torch.save(grouped, tmp_path / "grouped" / "model.pt")
    model = Molmo.load(options(tmp_path / "grouped"))
    np.testing.assert_array_equal(model.run_batch(items).states, load("native").run_batch(items).states)


def test_the_fingerprint_covers_config_and_weights_and_no_optimizer(tmp_path, folders):
    """What olmo saves beside a checkpoint to go on training is not part of the model."""
    copy = changed(tmp_path, folders["native"], {})
    before = fingerprint(str(copy))
    for name in ("optim.pt", "train.pt"):
        (copy / name).write_bytes(b"state")
    assert fingerprint(str(copy)) == before == fingerprint(str(folders["native"]))
    for name in ("config.yaml", "model.pt"):
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        (copy / name).write_bytes(content + b" ")
        assert fingerprint(str(copy)) != before
        (copy / name).write_bytes(content)


def changed(folder, source, files):
    """Link a checkpoint's files into a new folder, some left out (None) or written anew."""
    copy = folder / "changed"
    copy.mkdir(parents=True)
    for file in source.iterdir():
        if file.name not in files:
            (copy / file.name).symlink_to(file)
    for name, text in files.items():
        if text is not None:
            (copy / name).write_text(text)
    return copy
