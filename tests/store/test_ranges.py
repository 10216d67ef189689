"""Hidden states that only a server has: single layers by HTTP Range, and whole files where it gives no parts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vlmprobe.errors import TrackingError, VlmprobeError
from vlmprobe.store.arrays import RunArrays
from vlmprobe.store.artifacts import mark_synced
from vlmprobe.store.predictions import commit_shard
from vlmprobe.store.shards import write_shard
from vlmprobe.store.storage import Storage
from vlmprobe.store.tracking import Tracker

from .range_server import RangeServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmprobe.settings import Settings

LAYERS = tuple(range(12))
PAIRS = tuple(map(str, range(40)))
#: Of one layer of one shard: pairs, sides, dimensions, float32.
LAYER_BYTES = 20 * 2 * 256 * 4


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """Serve files; even small ones are read in parts, and headers with little beyond them."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("vlmprobe.store.shard_readers._SMALL", 0)
    monkeypatch.setattr("vlmprobe.store.ranges._FIRST", 1000)
    opened = RangeServer()
    yield opened
    opened.close()


@pytest.fixture
def states(study: Any, settings: Settings, server: RangeServer, shard_content: Any) -> Any:
    """Put a run of two shards on the server and nowhere else; return its states: (layers, pairs, 2, dim)."""
    study.pairs(dict.fromkeys(PAIRS, "left"))
    study.run("r1")
    made = np.random.default_rng(0).normal(size=(len(LAYERS), len(PAIRS), 2, 256)).astype(np.float32)
    for number, rows in enumerate((slice(0, 20), slice(20, 40)), start=1):
        content = shard_content(number, PAIRS[rows], states=made[:, rows], layers=LAYERS)
        shard = write_shard(settings.spool / "r1", content)
        name = f"{number}.safetensors"
        server.files[name] = shard.path.read_bytes()
        shard.path.unlink()
        with study.database.transaction() as connection:
            commit_shard(connection, shard)
            mark_synced(connection, "r1", number, f"mlflow-artifacts:/{name}")
    return made


@pytest.fixture
def open_run(study: Any, settings: Settings, server: RangeServer) -> Callable[..., RunArrays]:
    """Open the run in a home whose spool is empty."""

    def run(*, cache_bytes: int | None = None, **options: Any) -> RunArrays:
        tracker = Tracker(replace(settings, tracking_uri=server.address))
        return RunArrays(
            Storage(study.database, tracker, settings.home / "cache", cache_bytes), "r1", **options
        )

    return run


def _whole(settings: Settings) -> list[Path]:
    return sorted((settings.home / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize("before", ["a store", "a folder"])
def test_one_layer_moves_its_own_bytes_and_the_headers(
    before: str, server: RangeServer, states: Any, open_run: Any, settings: Settings
) -> None:
    """By a signed address if the server is before a store; by its own if it is before a folder."""
    server.signs, server.honors_range = before == "a store", before == "a folder"
    np.testing.assert_array_equal(open_run().layer(5), states[5])
    headers = 2 * (len(server.files["1.safetensors"]) - len(LAYERS) * LAYER_BYTES)
    assert 2 * LAYER_BYTES < server.sent < 2 * LAYER_BYTES + headers + 4 * 1000
    assert server.sent < sum(map(len, server.files.values())) / 5
    assert _whole(settings) == []


def test_a_server_that_gives_no_parts_gives_whole_files(
    server: RangeServer, states: Any, open_run: Any, settings: Settings
) -> None:
    """They are checked against their hashes and kept for the next time."""
    server.signs = False
    np.testing.assert_array_equal(open_run().layer(5), states[5])
    assert len(_whole(settings)) == 2
    server.asked.clear()
    np.testing.assert_array_equal(open_run().layer(6), states[6])
    assert server.asked == []


def test_what_was_read_once_is_not_fetched_again(server: RangeServer, states: Any, open_run: Any) -> None:
    """Headers and layers stay in the cache, so the same figure costs no traffic; a damaged one is fetched again."""
    open_run().layer(5)
    server.asked.clear()
    run = open_run()
    np.testing.assert_array_equal(run.layer(5), states[5])
    assert server.asked == []
    (kept,) = run._files._storage.cache.rglob("00001-*.layer.005")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    np.testing.assert_array_equal(open_run().layer(5), states[5])
    assert server.asked == ["presigned", "store"]


def test_a_signed_address_that_ran_out_is_signed_again(
    server: RangeServer, states: Any, open_run: Any
) -> None:
    """The store refuses it; the server signs another."""
    run = open_run()
    server.asked.clear()
    server.refused = 1
    np.testing.assert_array_equal(run.layer(5), states[5])
    assert server.asked.count("presigned") == 1


def test_a_store_out_of_reach_is_read_through_its_server(
    server: RangeServer, states: Any, open_run: Any
) -> None:
    """Signed addresses may lead into a network that this host is not in."""
    server.store, server.honors_range = "http://127.0.0.1:1", True
    np.testing.assert_array_equal(open_run().layer(5), states[5])


def test_a_server_that_stops_giving_parts_gives_the_whole_file(
    server: RangeServer, states: Any, open_run: Any, settings: Settings
) -> None:
    """Another server came up at its address, say; the numbers are the same."""
    run = open_run()
    server.signs = False
    server.refused = 100
    np.testing.assert_array_equal(run.layer(5), states[5])
    assert len(_whole(settings)) == 2


@pytest.mark.parametrize(
    "form", ["mlflow-artifacts://{host}/{name}", "{at}/api/2.0/mlflow-artifacts/artifacts/{name}"]
)
def test_no_other_server_is_asked_which_would_get_the_password(
    form: str, server: RangeServer, states: Any, open_run: Any, study: Any
) -> None:
    """Whoever writes rows chooses the address of a shard; our own server may be named in full."""
    other = RangeServer()
    other.files.update(server.files)

    def lead_to(at: str) -> None:
        with study.database.transaction() as connection:
            for name in server.files:
                address = form.format(at=at, host=at.partition("//")[2], name=name)
                mark_synced(connection, "r1", int(name[0]), address)

    lead_to(other.address)
    with pytest.raises(TrackingError, match="is on another server"):
        open_run().layer(5)
    assert other.asked == []
    lead_to(server.address)
    np.testing.assert_array_equal(open_run().layer(5), states[5])
    other.close()


def test_a_damaged_layer_is_an_error_and_not_another_number(
    server: RangeServer, states: Any, open_run: Any
) -> None:
    """The header has the hash of each layer; the others can be read."""
    data = server.files["2.safetensors"]
    server.files["2.safetensors"] = data[:-1] + bytes([data[-1] ^ 1])
    run = open_run()
    np.testing.assert_array_equal(run.layer(5), states[5])
    with pytest.raises(TrackingError, match="layer 11 of shard 2 of run r1 is not what was written"):
        run.layer(11)


@pytest.mark.parametrize("what", ["swapped", "longer", "no shard"])
def test_a_file_that_does_not_fit_its_row_is_refused(
    what: str, server: RangeServer, states: Any, open_run: Any
) -> None:
    """Another shard, a file of another length, or any other file of that length."""
    one, two = server.files["1.safetensors"], server.files["2.safetensors"]
    server.files["2.safetensors"] = {
        "swapped": one[: len(two)],
        "longer": two + b"x",
        "no shard": b"x" * len(two),
    }[what]
    with pytest.raises(VlmprobeError, match=r"(not what was|were) written"):
        open_run().layer(0)


def test_a_shard_of_an_earlier_version_has_no_hashes_of_layers(
    server: RangeServer, states: Any, open_run: Any, study: Any
) -> None:
    """It is read all the same; its length and its header are what can be checked."""
    for number in (1, 2):
        data = server.files[f"{number}.safetensors"]
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        meta = json.loads(header["__metadata__"]["vlmprobe"])
        del meta["layers_sha256"]
        header["__metadata__"]["vlmprobe"] = json.dumps(meta)
        old = json.dumps(header).encode()
        data = len(old).to_bytes(8, "little") + old + data[8 + length :]
        server.files[f"{number}.safetensors"] = data
        with study.database.transaction() as connection:
            connection.exec_driver_sql(f"UPDATE shards SET n_bytes = {len(data)} WHERE shard = {number}")
    np.testing.assert_array_equal(open_run().layer(5), states[5])


def test_every_layer_is_read_from_whole_files_if_they_fit_into_the_cache(
    server: RangeServer, states: Any, open_run: Any, settings: Settings
) -> None:
    """Their hashes can be checked. A run that does not fit is read layer by layer, and each byte moves once."""
    whole = sum(map(len, server.files.values()))
    run = open_run(every_layer=True, cache_bytes=whole)
    np.testing.assert_array_equal([run.layer(layer) for layer in LAYERS], states)
    assert (server.sent, len(_whole(settings))) == (whole, 2)
    for path in _whole(settings):
        path.unlink()

    server.sent = 0
    run = open_run(every_layer=True, cache_bytes=whole // 2)
    np.testing.assert_array_equal([run.layer(layer) for layer in LAYERS], states)
    assert server.sent < whole + 4 * 1000
    held = sum(path.stat().st_size for path in (settings.home / "cache").rglob("*") if path.is_file())
    assert held <= whole // 2


def test_a_file_that_left_the_cache_is_fetched_again(
    server: RangeServer, states: Any, open_run: Any, settings: Settings
) -> None:
    """Another process may have needed the room."""
    run = open_run(every_layer=True)
    for path in _whole(settings):
        path.unlink()
    np.testing.assert_array_equal(run.layer(5), states[5])


def test_a_server_that_is_away_is_told_in_a_line(server: RangeServer, states: Any, open_run: Any) -> None:
    """No part of a signed address is in it, since that is a password for its time."""
    run = open_run()
    server.close()
    with pytest.raises(TrackingError, match=rf"^MLflow at {server.address}: ") as raised:
        run.layer(5)
    assert "secret" not in str(raised.value)


def test_mlflow_prints_nothing_on_standard_output(
    server: RangeServer,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would say where a run can be viewed, in the middle of our JSON."""
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    Tracker(replace(settings, tracking_uri=server.address)).finish("7", "FINISHED")
    assert capsys.readouterr().out == ""
