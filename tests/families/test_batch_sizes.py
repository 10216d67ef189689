"""How many pairs fit in a batch is found out once on a machine, and believed while as much memory is free."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.extraction import together
from vlmprobe.families import batch_sizes
from vlmprobe.families.batch_sizes import BatchSizes

if TYPE_CHECKING:
    from pathlib import Path

MODEL = ["qwen25", 36, 2048, "bfloat16", "cuda:0", ["cuda:0"], None]
GIB = 2**30


def test_the_next_command_knows_it(tmp_path: Path) -> None:
    """Of another model, or on another machine, it is not known."""
    BatchSizes(tmp_path / "cache").keep(MODEL, 100 * GIB, 64)
    found = BatchSizes(tmp_path / "cache")
    assert found.find(MODEL, 100 * GIB) == 64
    assert found.find([*MODEL[:-1], "on"], 100 * GIB) is None


@pytest.mark.parametrize(("room", "pairs"), [(100 * GIB, 64), (99 * GIB, 64), (90 * GIB, None), (None, None)])
def test_it_counts_only_with_as_much_free_memory(tmp_path: Path, room: int | None, pairs: int | None) -> None:
    """Another program may have taken some since."""
    BatchSizes(tmp_path).keep(MODEL, 100 * GIB, 64)
    assert BatchSizes(tmp_path).find(MODEL, room) == pairs


def test_within_a_study_it_is_found_out_once(tmp_path: Path) -> None:
    """The next scale is loaded beside this one, so less memory is free; a new study looks again."""
    sizes = BatchSizes(tmp_path)
    sizes.keep(MODEL, 100 * GIB, 64)
    assert sizes.find(MODEL, 50 * GIB) == 64
    sizes.clear()
    assert sizes.find(MODEL, 50 * GIB) is None


def test_other_versions_and_machines_find_out_for_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home folder may be shared by machines with other GPUs."""
    BatchSizes(tmp_path).keep(MODEL, 100 * GIB, 64)
    monkeypatch.setattr(batch_sizes.platform, "node", lambda: "another")
    assert BatchSizes(tmp_path).find(MODEL, 100 * GIB) is None
    monkeypatch.undo()
    monkeypatch.setattr(batch_sizes, "__version__", "another")
    assert BatchSizes(tmp_path).find(MODEL, 100 * GIB) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"KEY": 64}', '{"KEY": [0, 5]}', '{"KEY": ["64", 5]}'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    """It is written anew."""
    sizes = BatchSizes(tmp_path)
    sizes.keep(MODEL, 100 * GIB, 64)
    file = tmp_path / "batch-sizes.json"
    (key,) = json.loads(file.read_text())
    file.write_text(text.replace("KEY", key))
    assert BatchSizes(tmp_path).find(MODEL, 100 * GIB) is None
    BatchSizes(tmp_path).keep(MODEL, 100 * GIB, 32)
    assert BatchSizes(tmp_path).find(MODEL, 100 * GIB) == 32


def test_a_folder_that_cannot_be_written_costs_time_alone(tmp_path: Path) -> None:
    """It is remembered in this process."""
    (tmp_path / "cache").write_text("a file")
    sizes = BatchSizes(tmp_path / "cache")
    sizes.keep(MODEL, 100 * GIB, 64)
    assert sizes.find(MODEL, 100 * GIB) == 64


def test_an_extraction_asks_the_model_only_where_it_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another benchmark has other pictures, and is measured again."""
    measured: list[Any] = []

    class _Gpu:
        info = SimpleNamespace(
            n_layers=36, dim=2048, dtype="bfloat16", device="cuda:0", manifest={"compiled": "on"}
        )

        def room(self) -> int:
            return 100 * GIB

        def fitting_batch(self, items: Any) -> int:
            measured.append(items)
            return 64

    def session(dataset_id: str) -> Any:
        config = {"identity": {"architecture": "qwen25", "engine": 3}}
        return SimpleNamespace(
            run=SimpleNamespace(dataset_id=dataset_id, template="published", control=None, config=config)
        )

    monkeypatch.setattr(together, "_largest", lambda _model, sessions: sessions[0].run.dataset_id)
    for dataset_id in ("one", "one", "other"):
        found = together._fitting(_Gpu(), [session(dataset_id)], BatchSizes(tmp_path))  # type: ignore[arg-type]
        assert found == 64
    assert measured == ["one", "other"]
