"""A fingerprint changes with what a model computes, and with nothing else."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import duckdb
import huggingface_hub
import pytest

from vlmprobe.errors import ModelError
from vlmprobe.families import fingerprint, is_local
from vlmprobe.store.identity import run_key

from .conftest import CHECKPOINTS

DATABASES = Path(__file__).parents[1] / "databases"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    """Make a checkpoint in miniature."""
    made = tmp_path / "checkpoint"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "x"}')
    (made / "model.safetensors").write_bytes(b"weights")
    (made / "tokenizer.json").write_text("{}")
    return made


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_content_counts(folder, name):
    """Another config, weight or tokenizer is another checkpoint."""
    before = fingerprint(str(folder))
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert fingerprint(str(folder)) != before
    assert len(before) == 64


def test_a_new_part_counts(folder):
    """A generation config that was not there may change the answers."""
    before = fingerprint(str(folder))
    (folder / "generation_config.json").write_text("{}")
    assert fingerprint(str(folder)) != before


def test_place_date_and_what_training_left_do_not_count(folder, tmp_path):
    """The same checkpoint elsewhere is the same checkpoint."""
    before = fingerprint(str(folder))
    moved = folder.rename(tmp_path / "moved")
    os.utime(moved / "config.json", (1, 1))
    (moved / "optimizer.pt").write_bytes(b"big")
    (moved / "trainer_state.json").write_text("{}")
    (moved / "README.md").write_text("hello")
    (moved / "checkpoint-500").mkdir()
    (moved / "checkpoint-500" / "model.safetensors").write_bytes(b"older")
    assert fingerprint(str(moved)) == before


def test_a_tokenizers_repository_in_the_cache_needs_no_config(tmp_path, monkeypatch):
    """Without the hub, any file of it tells its commit."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit = "c" * 40
    repository = tmp_path / "models--me--words"
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "snapshots" / commit / "tokenizer.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert fingerprint("me/words", cache_dir=tmp_path, weights=False) == commit


def test_a_processor_is_told_by_its_settings_alone(folder):
    """Its folder needs no weights, and those that are there do not count; an empty one is an error."""
    before = fingerprint(str(folder), weights=False)
    (folder / "model.safetensors").unlink()
    assert fingerprint(str(folder), weights=False) == before
    (folder / "tokenizer.json").write_text("[]")
    assert fingerprint(str(folder), weights=False) != before
    for name in ("tokenizer.json", "config.json"):
        (folder / name).unlink()
    with pytest.raises(
        ModelError, match="no tokenizer or image processor here; pass another folder with --processor"
    ):
        fingerprint(str(folder), weights=False)


def test_a_hub_id_in_the_cache_is_its_commit(tmp_path, monkeypatch):
    """Without a network the cached snapshot of the branch counts."""

    def no_network(*_args, **_kwargs):
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "model_info", no_network)
    repository = tmp_path / "models--me--mine"
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "config.json").write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert fingerprint("me/mine", cache_dir=tmp_path) == COMMIT
    with pytest.raises(
        ModelError, match=r"'me/other' is not a local folder, .* could not be downloaded: offline$"
    ):
        fingerprint("me/other", cache_dir=tmp_path)


def test_a_commit_needs_no_look_up():
    """A full revision already says which content is meant."""
    assert fingerprint("me/mine", COMMIT) == COMMIT


@pytest.mark.parametrize(
    ("checkpoint", "local"),
    [
        ("me/mine", False),
        ("gpt2", False),
        ("./mine", True),
        ("/data/mine", True),
        ("a/b/c", True),
        ("~/x", True),
    ],
)
def test_what_is_written_like_a_path_is_a_folder(checkpoint, local, tmp_path, monkeypatch):
    """A hub id is a name, or an owner and a name."""
    monkeypatch.chdir(tmp_path)
    assert is_local(checkpoint) is local


def test_a_folder_without_weights_is_an_error(folder):
    """There is nothing that could be run."""
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weight file "):
        fingerprint(str(folder))
    with pytest.raises(ModelError, match="no such folder"):
        fingerprint(str(folder / "nowhere"))


def test_runs_of_earlier_versions_are_found_again(tmp_path):
    """A folder with one set of weights has the fingerprint, and its runs the key, that earlier versions stored."""
    database = tmp_path / "earlier.duckdb"
    with gzip.open(DATABASES / "0002.duckdb.gz") as packed:
        database.write_bytes(packed.read())
    with duckdb.connect(str(database), read_only=True) as connection:
        runs = connection.execute("SELECT scale, fingerprint, run_key, config FROM runs").fetchall()
    assert {scale for scale, *_ in runs} == {"vanilla", "2m"}
    for scale, stored, key, config in runs:
        found = fingerprint(str(CHECKPOINTS / scale))
        assert found == stored
        assert run_key({**json.loads(config)["identity"], "fingerprint": found}) == key
