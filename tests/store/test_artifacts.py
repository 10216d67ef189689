"""Hidden states for analysis: from the spool, or else from MLflow."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.errors import VlmprobeError
from vlmprobe.store.arrays import RunArrays
from vlmprobe.store.artifacts import local_shard, shard_places
from vlmprobe.store.committer import Committer
from vlmprobe.store.shards import write_shard
from vlmprobe.store.storage import Storage
from vlmprobe.store.tracking import Tracker

if TYPE_CHECKING:
    from vlmprobe.settings import Settings


@pytest.fixture
def tracker(local_mlflow: Settings) -> Tracker:
    """Log to a store of the test's own."""
    return Tracker(local_mlflow)


@pytest.fixture
def contents(study: Any, settings: Settings, tracker: Tracker, shard_content: Any) -> list[Any]:
    """Make two shards of one run, in the spool and in MLflow."""
    study.pairs({"1": "left", "2": "far", "3": "right"})
    study.pairs({"4/v": "above"}, origin="quad")
    study.run("r1")
    made = [shard_content(1, ("3", "4/v")), shard_content(2, ("2", "1"), text="far")]
    committer = Committer(Storage(study.database, tracker, settings.home / "cache"), "r1")
    for content in made:
        committer.submit(write_shard(settings.spool / "r1", content))
    committer.close()
    return made


def _arrays(study: Any, tracker: Tracker, settings: Settings) -> RunArrays:
    return RunArrays(Storage(study.database, tracker, settings.home / "cache"), "r1")


def test_pairs_come_in_the_datasets_order(
    study: Any, settings: Settings, tracker: Tracker, contents: list[Any]
) -> None:
    """Whatever shard they are in; a quad's pair is not among them."""
    arrays = _arrays(study, tracker, settings)
    assert arrays.pair_ids == ["1", "2", "3"]
    assert arrays.categories == ["left", "far", "right"]
    assert arrays.both_correct.tolist() == [False, False, True]
    assert arrays.layers == [0, 5]
    for place, layer in enumerate(arrays.layers):
        first, second = (content.states[place] for content in contents)
        np.testing.assert_array_equal(arrays.layer(layer), np.stack([second[1], second[0], first[0]]))


def test_a_flipped_bit_is_an_error_and_not_another_number(
    study: Any, settings: Settings, tracker: Tracker, contents: list[Any]
) -> None:
    """Analysis names the file and what helps; nothing else is to be trusted until then."""
    path = settings.spool / "r1" / "00002.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        VlmprobeError, match=r"00002\.safetensors is damaged .*; run 'vlmprobe verify' to see what"
    ):
        _arrays(study, tracker, settings)


def test_a_shard_is_hashed_once_in_a_process_while_nobody_touches_it(
    study: Any, settings: Settings, tracker: Tracker, contents: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to it changes its times, so that it is hashed, and refused, again; even of the same length."""
    monkeypatch.setattr("vlmprobe.file_hashes._LARGE", 0)
    monkeypatch.setattr("vlmprobe.file_hashes._SETTLED_NS", 0)
    hashed: list[int] = []

    def digest(stream: Any, *_: Any) -> str:
        hashed.append(1)
        return hashlib.file_digest(stream, "sha256").hexdigest()

    monkeypatch.setattr("vlmprobe.file_hashes._digest", digest)
    storage = Storage(study.database, tracker, settings.home / "cache")
    for _ in range(3):
        RunArrays(storage, "r1")
    assert len(hashed) == 2
    path = settings.spool / "r1" / "00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(VlmprobeError, match=r"00002\.safetensors is damaged"):
        RunArrays(storage, "r1")


def test_a_shard_that_left_the_spool_is_fetched_once(
    study: Any, settings: Settings, tracker: Tracker, contents: list[Any]
) -> None:
    """The numbers are the same; the second time the copy is used."""
    before = _arrays(study, tracker, settings).layer(5)
    for path in settings.spool.rglob("*.safetensors"):
        path.unlink()
    np.testing.assert_array_equal(_arrays(study, tracker, settings).layer(5), before)
    for path in settings.artifacts.rglob("*.safetensors"):
        path.unlink()
    np.testing.assert_array_equal(_arrays(study, tracker, settings).layer(5), before)
    cached = [path.name for path in (settings.home / "cache" / "r1").iterdir()]
    assert sorted(cached) == ["00001.safetensors", "00002.safetensors"]


@pytest.fixture
def place(study: Any, contents: list[Any]) -> Any:
    """Take the first shard out of the spool."""
    with study.database.transaction() as connection:
        place = shard_places(connection, "r1")[0]
    (study.database.path.parent / "spool" / "r1" / "00001.safetensors").unlink()
    return place


def test_a_damaged_copy_is_fetched_again(settings: Settings, tracker: Tracker, place: Any) -> None:
    """Half a download of a process that was killed is no trouble."""
    cache = settings.home / "cache"
    half = cache / "r1" / "00001.safetensors"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert local_shard(place, tracker, cache) == half
    assert half.stat().st_size == place.n_bytes


def test_a_damaged_artifact_is_an_error(settings: Settings, tracker: Tracker, place: Any) -> None:
    """Its hash is not the one that was written; it is not kept."""
    (artifact,) = settings.artifacts.rglob("00001.safetensors")
    artifact.write_bytes(b"x" + artifact.read_bytes()[1:])
    with pytest.raises(VlmprobeError, match="shard 1 of run r1 was damaged in the download"):
        local_shard(place, tracker, settings.home / "cache")
    assert list((settings.home / "cache" / "r1").iterdir()) == []


def test_an_address_of_the_homes_former_place_is_found_in_the_home(
    settings: Settings, tracker: Tracker, place: Any
) -> None:
    """The database is elsewhere, say, so that its rows keep whole addresses; the file is what was written."""
    inside = place.artifact_uri.removeprefix(settings.home.as_uri())
    place = replace(place, artifact_uri=f"file:///old/home{inside}")
    assert local_shard(place, tracker, settings.home / "cache").stat().st_size == place.n_bytes


def test_a_shard_that_is_nowhere_is_an_error(settings: Settings, tracker: Tracker, place: Any) -> None:
    """The message names the file and says what to do."""
    place = replace(place, artifact_uri=None)
    with pytest.raises(
        VlmprobeError, match=r"00001\.safetensors does not exist and was never uploaded to MLflow; .*--new"
    ):
        local_shard(place, tracker, settings.home / "cache")
