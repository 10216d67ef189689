"""A model with processes of its own is loaded while the database is made, if it will be asked."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.extraction.control import Asked, Control
from vlmprobe.extraction.foreseen import lacks_answers
from vlmprobe.extraction.request import ExtractOptions, ExtractRequest, Prepared, prepare
from vlmprobe.families import KeptFamily, KeptWorkers, ModelOptions, registry
from vlmprobe.pairs import PUBLISHED
from vlmprobe.settings import Settings
from vlmprobe.store.datasets import register_dataset
from vlmprobe.store.runs import open_run, set_status
from vlmprobe.workflows.extract import extract
from vlmprobe.workspace import Silent, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGINS = Path(__file__).parent.parent / "families" / "plugins"


@pytest.fixture
def two_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Callable[..., Path]
) -> ExtractRequest:
    """Return a request for a model that has two processes; it is a plug-in's, which needs no PyTorch."""
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "vlmprobe.toml").write_text(f'[families.odd.scales.one]\ncheckpoint = "{checkpoint}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(PLUGINS))
    point = EntryPoint("odd", "odd_family:Odd", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda **_group: [point])
    options = ExtractOptions(benchmark(2), model=ModelOptions(devices=("cpu", "cpu"), dtype="float32"))
    return ExtractRequest("odd", "one", options)


class _StoppedError(Exception):
    """The test has seen what it wanted."""


def test_it_is_being_loaded_when_a_new_home_gets_its_database(
    two_places: ExtractRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes seconds. Nothing else is on the devices, so nobody looks whether it fits beside something."""
    happened: list[Any] = []
    monkeypatch.setattr(
        KeptFamily, "load_ahead", lambda _self, _options, *, beside: happened.append(("load", beside))
    )

    def create(_: Workspace) -> None:
        happened.append("database")
        raise _StoppedError

    monkeypatch.setattr(Workspace, "create_database", create)
    with pytest.raises(_StoppedError):
        extract(Workspace(Settings.load(tmp_path / "home", environ={}, folder=tmp_path)), two_places)
    assert happened == [("load", False), "database"]


@pytest.fixture
def prepared(two_places: ExtractRequest) -> Any:
    """Return the request, prepared."""
    with KeptWorkers() as workers:
        yield prepare(two_places, Silent(), workers=workers)


@pytest.mark.parametrize(
    ("status", "wanted", "expected"),
    [
        (None, {}, True),
        ("interrupted", {}, True),
        ("complete", {}, False),
        ("complete", {"new": True}, True),
        ("interrupted", {"wait": True}, False),
    ],
)
def test_it_is_loaded_early_only_for_runs_that_lack_answers(
    status: str | None,
    wanted: dict[str, Any],
    expected: bool,
    prepared: Prepared,
    two_places: ExtractRequest,
    tmp_path: Path,
) -> None:
    """A complete run needs no model; and one that may wait for another process leaves the device to that."""
    workspace = Workspace(Settings.load(tmp_path / "home", environ={}, folder=tmp_path))
    workspace.create_database()
    if status is not None:
        with workspace.database.transaction() as connection:
            register_dataset(connection, prepared.dataset)
            run, _ = open_run(connection, prepared.plan, new=False)
            set_status(connection, run.run_id, status)
    options = replace(two_places.options, **wanted)
    asked = [Asked(PUBLISHED.name)]
    assert lacks_answers(workspace.database, options, prepared, asked) is expected
    grey = [Asked(PUBLISHED.name, Control.parse("grey"))]
    assert not lacks_answers(workspace.database, options, prepared, grey)
