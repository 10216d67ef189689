"""What a training is, from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vlmprobe.demo.taught import TAUGHT
from vlmprobe.demo.training.config import read_config
from vlmprobe.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_file_it_is_the_recipe() -> None:
    """The bundled checkpoints' configuration: four fine-tunings, every template."""
    config = read_config()
    assert dict(config.scales) == {"80k": 80_000, "400k": 400_000, "800k": 800_000, "2m": 2_000_000}
    assert set(config.templates) == set(TAUGHT)
    assert sum(config.templates.values()) == pytest.approx(1)
    assert config.vanilla.random_relations
    assert not config.fine_tuning.random_relations


def test_a_file_says_only_what_it_changes(tmp_path: Path) -> None:
    """The rest is the recipe's, also within a table."""
    path = tmp_path / "mine.toml"
    path.write_text("seed = 3\n[fine_tuning]\nconsistent_share = 0.5\n")
    config, recipe = read_config(path), read_config()
    assert (config.seed, config.fine_tuning.consistent_share) == (3, 0.5)
    assert config.fine_tuning.learning_rate == recipe.fine_tuning.learning_rate
    assert config.scales == recipe.scales


def test_a_table_of_scales_is_taken_as_it_is(tmp_path: Path) -> None:
    """Whoever names scales wants these, not these and the recipe's."""
    path = tmp_path / "mine.toml"
    path.write_text("[scales]\nten = 10\n")
    assert dict(read_config(path).scales) == {"ten": 10}


def test_steps_follow_from_the_number_of_relation_questions() -> None:
    """Of 64 questions a step, three in four are about relations."""
    config = read_config()
    assert config.steps_for(80_000) == round(80_000 / (64 * 0.75))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "unknown key 'sed'; known keys: .*seed"),
        ("[vanilla]\nstep = 1", "unknown key 'vanilla.step'"),
        ("[vanilla]\nsteps = 0", "vanilla.steps is 0; it has to be 1 or more"),
        ("[vanilla]\nsteps = 1.5", "vanilla.steps is 1.5; it has to be a whole number"),
        ("vanilla = 3", "vanilla has to be a table"),
        (
            "[fine_tuning]\nconsistent_share = 1.5",
            "fine_tuning.consistent_share is 1.5; it has to be above 0 and at most 1",
        ),
        ("[templates]\nmine = 1.0", "unknown template 'mine'; known: mention-swapped"),
        ("[templates]\npublished = -1.0", "templates.published is -1.0; it has to be above 0"),
        ('[scales]\n"../up" = 5', r"scale '../up' cannot be part of a file name"),
        ("[scales]\nvanilla = 5", "scale 'vanilla' is the base model"),
        ("[scales]\na = 0", "scales.a is 0; it has to be a number of questions, 1 or more"),
        ("[scenes]\nimage_size = 141", "image"),
        ("[optimiser]\nquestions = 0", "optimiser.questions is 0; it has to be 1 or more"),
        ("[vanilla]\nimages = 0", "vanilla.images is 0; it has to be 1 or more"),
        ("seed = -1", "seed is -1; it has to be 0 or more"),
        ("seed = ", "not valid TOML"),
        ("[scales]\n'a\0b' = 5", "line 2: not valid TOML"),
        ('[scales]\n"a\\u0000b" = 5', "cannot be part of a file name"),
        ("seed = 99999999999999999999", "seed is 99999999999999999999; it has to be a number"),
        ("[optimiser]\nweight_decay = nan", "optimiser.weight_decay is nan; it has to be a number"),
        ("[optimiser]\nend_weight = -0.5", "optimiser.end_weight is -0.5; it has to be 0 or more"),
        ("[templates]\npublished = 'all'", "templates.published is 'all'; it has to be a number"),
        ("[vanilla]\nrandom_relations = 1", "random_relations is 1; it has to be true or false"),
        ("[model]\ntext_hidden = 100", "text_hidden is 100; it has to be 192 for 6 heads of 32"),
        ("[model]\nvision_layers = 0", "vision_layers is 0; it has to be from 1 to 32"),
        ("[model]\ntext_kv_heads = 4", "text_kv_heads is 4; it has to divide the 6 text_heads"),
        ("x = " + "[" * 3000, "not valid TOML"),
    ],
)
def test_a_mistake_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    """It names the file, the key and what is right."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Not a traceback from the TOML reader."""
    with pytest.raises(InputError, match=r"none\.toml cannot be read: No such file"):
        read_config(tmp_path / "none.toml")
