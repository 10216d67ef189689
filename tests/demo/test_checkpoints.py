"""The checkpoints that come with the package."""

from __future__ import annotations

from vlmprobe.demo import DEMO_SCALES
from vlmprobe.families import load_catalog
from vlmprobe.resources import checkpoints_folder


def test_five_checkpoints_are_bundled() -> None:
    """Each scale has a folder with weights, configuration, tokenizer and image settings."""
    assert DEMO_SCALES == ("vanilla", "80k", "400k", "800k", "2m")
    for scale in DEMO_SCALES:
        folder = checkpoints_folder() / scale
        assert (folder / "model.safetensors").stat().st_size > 7_000_000
        assert {file.name for file in folder.iterdir()} == {
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
        }


def test_the_catalogue_lists_them_in_the_demos_order() -> None:
    """Least training first."""
    assert tuple(load_catalog().scale_names("tiny")) == DEMO_SCALES
