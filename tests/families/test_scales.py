"""Scales are data: a bundled catalogue that a user's file extends."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlmprobe.errors import InputError, ModelError, UsageError
from vlmprobe.families import ScaleSpec, load_catalog


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """Read the bundled catalogue with this text as the user's file, in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def read(text: str | None = None):
        if text is not None:
            Path("vlmprobe.toml").write_text(text, encoding="utf-8")
        return load_catalog()

    return read


def test_a_published_scale(catalog):
    """A fine-tuning takes tokenizer and image processor from the base model."""
    assert catalog().scale("qwen25", "2m") == ScaleSpec(
        family="qwen25",
        architecture="qwen25",
        scale="2m",
        checkpoint="ch-min/Qwen2.5-VL-3B-Instruct-data_scale_exp_2m-20260109_120517",
        processor="Qwen/Qwen2.5-VL-3B-Instruct",
        revision=None,
        samples_seen=2_000_000,
        global_steps=31_250,
    )


@pytest.mark.parametrize("family", ["qwen25", "nvila", "tiny"])
@pytest.mark.parametrize(
    ("scale", "samples", "steps"),
    [
        ("vanilla", 0, 0),
        ("80k", 80_000, 1_250),
        ("400k", 400_000, 6_250),
        ("800k", 800_000, 12_500),
        ("2m", 2_000_000, 31_250),
    ],
)
def test_every_scale_says_how_much_training_it_saw(catalog, family, scale, samples, steps):
    """Samples and steps of batches of 64."""
    spec = catalog().scale(family, scale)
    assert (spec.samples_seen, spec.global_steps) == (samples, steps)


@pytest.mark.parametrize(
    ("family", "base"),
    [
        ("qwen25", "Qwen/Qwen2.5-VL-3B-Instruct"),
        ("molmo", "allenai/Molmo-7B-O-0924"),
        ("nvila", "Efficient-Large-Model/NVILA-Lite-2B"),
    ],
)
def test_a_family_begins_at_its_base_model(catalog, family, base):
    """Scale vanilla is the model before any fine-tuning."""
    assert catalog().scale(family, "vanilla").checkpoint == base


def test_how_much_training_is_not_known_of_everything(catalog):
    """RoboRefer is NVILA fine-tuned by others: no number of samples, which is not 0."""
    spec = catalog().scale("nvila", "roborefer")
    assert (spec.checkpoint, spec.samples_seen, spec.global_steps) == ("Zhoues/RoboRefer-2B-SFT", None, None)


def test_scales_without_a_public_checkpoint_are_listed_all_the_same(catalog):
    """Molmo's fine-tunings: what they saw is known, where they are is the user's to say."""
    read = catalog()
    listed = read.listed_scales("molmo")
    assert [(name, entry.samples_seen) for name, entry in listed.items()] == [
        ("vanilla", 0),
        ("80k", 80_000),
        ("400k", 400_000),
        ("800k", 800_000),
        ("2m", 2_000_000),
    ]
    assert read.scale_names("molmo") == ["vanilla"]
    with pytest.raises(UsageError, match="'80k' of family 'molmo'; pass --checkpoint DIR_OR_ID to "):
        read.scale("molmo", "80k")
    assert read.scale("molmo", "80k", "/mine").samples_seen == 80_000


def test_any_model_runs_under_a_name_of_the_users_own(catalog):
    """Family auto brings no scales; a user's file makes families of it."""
    read = catalog(
        '[families.mine]\narchitecture = "auto"\n[families.mine.scales.base]\ncheckpoint = "me/mine"'
    )
    assert read.listed_scales("auto") == {}
    assert read.scale("auto", "anything", "me/mine").checkpoint == "me/mine"
    assert read.scale("mine", "base").architecture == "auto"
    with pytest.raises(UsageError, match=r"^unknown scale 'anything' of family 'auto'; known: none; "):
        read.scale("auto", "anything")


def test_bundled_checkpoints_are_folders_of_the_package(catalog):
    """The demo's family needs no download."""
    assert (Path(catalog().scale("tiny", "80k").checkpoint) / "config.json").is_file()


def test_the_scales_of_a_family_keep_the_order_of_the_files(catalog):
    """Least training first, a user's own last."""
    read = catalog('[families.tiny.scales.mine]\ncheckpoint = "me/mine"')
    assert read.scale_names("tiny") == ["vanilla", "80k", "400k", "800k", "2m", "mine"]


def test_a_user_overrides_one_field_of_a_scale(catalog):
    """What the user's file does not say stays as it was."""
    spec = catalog('[families.qwen25.scales.80k]\nrevision = "v2"').scale("qwen25", "80k")
    assert (spec.revision, spec.samples_seen) == ("v2", 80_000)
    assert spec.checkpoint.startswith("ch-min/")


def test_a_user_adds_a_family_on_a_known_architecture(catalog):
    """The scale's name alone says how much training it stands for."""
    spec = catalog(
        '[families.mine]\narchitecture = "qwen25"\n[families.mine.scales.80k]\ncheckpoint = "me/mine-80k"'
    ).scale("mine", "80k")
    assert (spec.family, spec.architecture, spec.checkpoint) == ("mine", "qwen25", "me/mine-80k")
    assert (spec.processor, spec.samples_seen) == (None, 80_000)


def test_a_folder_in_the_file_is_meant_from_the_file(catalog, tmp_path):
    """A relative folder works wherever the command runs."""
    (tmp_path / "runs" / "80k").mkdir(parents=True)
    spec = catalog('[families.tiny.scales.80k]\ncheckpoint = "runs/80k"').scale("tiny", "80k")
    assert spec.checkpoint == str(tmp_path / "runs" / "80k")


def test_an_explicit_checkpoint_goes_before_the_catalogue(catalog):
    """The catalogue's revision belongs to its own checkpoint and is dropped."""
    read = catalog('[families.qwen25.scales.80k]\nrevision = "v2"')
    spec = read.scale("qwen25", "80k", checkpoint="me/other")
    assert (spec.checkpoint, spec.revision, spec.samples_seen) == ("me/other", None, 80_000)
    assert spec.processor == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert read.scale("qwen25", "80k", "me/other", "me/processor").processor == "me/processor"


def test_a_processors_revision_belongs_to_that_processor(catalog):
    """It goes with the catalogue's processor and not with one that was given."""
    read = catalog('[families.qwen25.scales.80k]\nprocessor_revision = "v3"')
    assert read.scale("qwen25", "80k").processor_revision == "v3"
    assert read.scale("qwen25", "80k", processor="me/other").processor_revision is None


def test_a_processor_that_is_the_checkpoint_is_no_other_one(catalog):
    """Named twice it is still one repository, at the checkpoint's revision."""
    text = '[families.tiny.scales.x]\ncheckpoint = "me/x"\nprocessor = "me/x"\nrevision = "v2"'
    spec = catalog(text).scale("tiny", "x")
    assert (spec.processor, spec.revision) == (None, "v2")


def test_an_explicit_folder_with_a_tokenizer_brings_its_own_processor(catalog):
    """The base model's is only for fine-tunings that were saved without."""
    folder = catalog().scale("tiny", "80k").checkpoint
    assert catalog().scale("qwen25", "80k", checkpoint=folder).processor is None


def test_a_folder_in_the_file_that_has_a_tokenizer_brings_its_own_processor(catalog):
    """As a folder on the command line does; a processor named beside it goes before."""
    folder = catalog().scale("tiny", "80k").checkpoint
    scale = f"[families.qwen25.scales.80k]\ncheckpoint = '{folder}'\n"
    assert catalog(scale).scale("qwen25", "80k").processor is None
    assert catalog(f"{scale}processor = 'me/other'\n").scale("qwen25", "80k").processor == "me/other"


def test_a_folder_without_a_tokenizer_takes_the_bases_processor(catalog, tmp_path):
    """Under any name, in a family whose other scales do so, at the revision that the base is pinned to."""
    (tmp_path / "mine").mkdir()
    read = catalog('[families.qwen25.scales.vanilla]\nrevision = "v2"\n')
    spec = read.scale("qwen25", "mine", checkpoint="mine")
    assert (spec.processor, spec.processor_revision) == ("Qwen/Qwen2.5-VL-3B-Instruct", "v2")
    assert read.scale("qwen25", "mine", "mine", "me/other").processor == "me/other"
    # Whether a repository of the hub has one is not known here; these families keep theirs elsewhere.
    assert read.scale("qwen25", "mine", checkpoint="me/mine").processor is None
    assert read.scale("molmo", "mine", checkpoint="mine").processor is None
    assert read.scale("nvila", "mine", checkpoint="mine").processor is None


def test_an_unknown_scale_is_allowed_with_a_checkpoint(catalog):
    """It is the user's own; how much it was trained is not known, which is not 0."""
    spec = catalog().scale("tiny", "3m", checkpoint="bundled:2m")
    assert (spec.scale, spec.samples_seen, spec.global_steps) == ("3m", None, None)


@pytest.mark.parametrize(
    ("family", "scale", "message"),
    [
        ("qwen26", "80k", "unknown family 'qwen26'; known: "),
        ("tiny", "90k", "unknown scale '90k' of family 'tiny'; known: vanilla, 80k, 400k, 800k, 2m; "),
        ("tiny", "", "scale '' cannot be part of a file name"),
        ("mine", "80k", "no checkpoint is known for scale '80k' of family 'mine'; pass --checkpoint "),
    ],
)
def test_a_wrong_name_lists_the_right_ones(catalog, family, scale, message):
    """One line that ends the search."""
    with pytest.raises(UsageError, match="^" + message) as caught:
        catalog('[families.mine]\narchitecture = "tiny"').scale(family, scale)
    assert "\n" not in str(caught.value)


def test_a_lost_bundled_checkpoint_is_named(catalog):
    """The message lists what is there."""
    with pytest.raises(ModelError, match="no bundled checkpoint '9m'; available: 2m, 400k"):
        catalog().scale("tiny", "x", checkpoint="bundled:9m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[families\n", "line 1: not valid TOML: "),
        ("[scales.80k]\nsamples_seen = 1\nsamples_seen = 2\n", "line 3: samples_seen appears twice"),
        ("[scales.80k]\n[scales.80k]\n", r"line 2: \[scales.80k\] appears twice"),
        ("[family.mine]\n", "unknown key 'family' in the top level; known: scales, families"),
        (
            "[families.tiny.scales.80k]\ncheckpiont = 'x'\n",
            r"unknown key 'checkpiont' in \[families.tiny.scales.80k\]; known: checkpoint, ",
        ),
        (
            "[families.mine]\narchitecture = 'qwen9'\n",
            "unknown architecture 'qwen9'; known: auto, molmo, nvila, qwen25, tiny",
        ),
        ("[families.mine.scales.80k]\n", "set architecture; there is no family named 'mine'"),
        (
            "[scales.80k]\nsamples_seen = -1\n",
            "samples_seen in .* must be a whole number of 0 or more, not -1",
        ),
        (
            "[scales.80k]\nsamples_seen = 99999999999999999999\n",
            "must be a whole number of 0 or more, not 9",
        ),
        ("[scales.80k]\nsamples_seen = true\n", "must be a whole number of 0 or more, not True"),
        ("[families.tiny.scales.80k]\ncheckpoint = 5\n", "checkpoint in .* must be a string, not 5"),
        ('[families.""]\narchitecture = "auto"\n', "family '' cannot be part of a file name"),
        ('[scales." "]\nsamples_seen = 1\n', "scale ' ' cannot be part of a file name"),
        ('[families.tiny.scales.""]\n', "scale '' cannot be part of a file name"),
        ("[families]\ntiny = 3\n", r"\[families.tiny\] must be a table, not 3"),
        ("[families.tiny]\ntrust_remote_code = true\n", "unknown key 'trust_remote_code' in "),
        ("[families.tiny.scales.80k]\ntrust_remote_code = true\n", "unknown key 'trust_remote_code' in "),
        ("[families.nvila]\ntimeout = 5\n", "timeout needs python; add python = "),
        ("[families.nvila]\npython = 3\n", r"python in \[families.nvila\] must be a string, not 3"),
        (
            "[families.nvila]\npython = 'p'\ntimeout = 0\n",
            "timeout in .* must be a positive number of seconds, not 0",
        ),
        ("[families.nvila]\npython = 'p'\ntimeout = nan\n", "a positive number of seconds, not nan"),
        ("[families.nvila]\npython = 'p'\ntimeout = true\n", "a positive number of seconds, not True"),
        ("[families.nvila]\npython = 'p'\npythonpath = 'v'\n", "pythonpath in .* must be a list of strings"),
        ("[families.nvila]\npython = 'p'\npythonpath = [1]\n", "pythonpath in .* must be a string, not 1"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_says_where(catalog, text, message):
    """File, place, what is wrong."""
    with pytest.raises(InputError, match=r"^vlmprobe.toml: .*" + message) as caught:
        catalog(text)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    """Only the default file may be absent."""
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_catalog(tmp_path / "other.toml")


def test_a_file_that_cannot_be_read_is_not_passed_over(monkeypatch, tmp_path):
    """A link to nowhere, or a folder of the file's name: the user meant something."""
    monkeypatch.chdir(tmp_path)
    Path("vlmprobe.toml").symlink_to("moved.toml")
    with pytest.raises(InputError, match=r"vlmprobe.toml cannot be read: No such file"):
        load_catalog()
    Path("vlmprobe.toml").unlink()
    Path("vlmprobe.toml").mkdir()
    with pytest.raises(InputError, match=r"vlmprobe.toml cannot be read: Is a directory"):
        load_catalog()


@pytest.mark.parametrize("name", ["~" + "x" * 5000, "~nobody-of-this-name/model"])
def test_a_home_folder_that_cannot_be(catalog, name):
    """A name that is too long for one, or of an unknown user: one short line."""
    text = f'[scales.mine]\nsamples_seen = 1\n\n[families.qwen25.scales.mine]\ncheckpoint = "{name}"\n'
    with pytest.raises(ModelError, match="no such user; use the full path") as told:
        catalog(text).scale("qwen25", "mine")
    assert len(str(told.value)) < 200


def test_a_training_is_a_label_of_a_scale(catalog):
    """Entries of equal amounts with different labels are trainings of one scale; a scale's meaning has none."""
    text = '[families.tiny.scales.2m-b]\ncheckpoint = "me/b"\nsamples_seen = 2_000_000\ntraining = "b"\n'
    read = catalog(text)
    assert (read.scale("tiny", "2m-b").training, read.scale("tiny", "2m").training) == ("b", None)
    with pytest.raises(
        InputError, match=r"training in \[families.tiny.scales.2m-b\] must be a string, not 3"
    ):
        catalog(text.replace('"b"', "3"))
    with pytest.raises(InputError, match=r"unknown key 'training' in \[scales.2m\]"):
        catalog('[scales.2m]\ntraining = "b"\n')
