"""The benchmark's file of a run is read again as it was read when it was extracted."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from vlmprobe.errors import InputError
from vlmprobe.pairs import Axis, AxisSet, Category, read_dataset
from vlmprobe.settings import Settings
from vlmprobe.store.datasets import register_dataset
from vlmprobe.store.duckdb_store import DuckDBStore
from vlmprobe.store.migrate import ensure_schema
from vlmprobe.study.strata import read_strata_of

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.pairs.strata import Strata

ASKED = {"published": "Is the {a} hot or cold beside the {b}?"}
HEAT = AxisSet((Axis("heat", Category("hot"), Category("cold"), questions=ASKED),))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> DuckDBStore:
    """Migrate a database for all tests."""
    home = tmp_path_factory.mktemp("home")
    database = DuckDBStore(Settings.load(home, environ={}, folder=home).database_path)
    ensure_schema(database)
    return database


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write six rows of which two contradict each other and one has an image that is cut off."""
    rows = [
        {"image": f"{n}.png", "subject": "cup", "reference": "book", "category": "left"} for n in range(6)
    ]
    for n, row in enumerate(rows):
        Image.new("RGB", (64 + n, 64), "red").save(tmp_path / row["image"])
        row["place"] = ("indoor", "outdoor")[n % 2]
    rows[1] |= {"image": "0.png", "category": "right", "place": "indoor"}
    cut_off = (tmp_path / "5.png").read_bytes()
    (tmp_path / "5.png").write_bytes(cut_off[:-40])
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def registered(database: DuckDBStore, path: Path, **options: Any) -> str:
    """Read and store a dataset as an extraction does."""
    dataset = read_dataset(path, **options)
    with database.transaction() as connection:
        register_dataset(connection, dataset)
    return dataset.dataset_id


def read_again(database: DuckDBStore, dataset_id: str) -> tuple[Strata, list[str]]:
    """Read the strata of two runs on a dataset; return what was said as well."""
    said: list[str] = []
    workspace: Any = SimpleNamespace(database=database, console=SimpleNamespace(say=said.append))
    run: Any = SimpleNamespace(dataset_id=dataset_id)
    (strata,) = read_strata_of(workspace, [run, run], "place").values()
    return strata, said


@pytest.mark.parametrize(
    ("options", "n_images"),
    [
        ({}, 4),
        ({"allow_contradictions": True}, 5),
        ({"decode": True}, 3),
        ({"max_per_category": 1, "seed": 7}, 4),
    ],
    ids=str,
)
def test_options_of_the_extraction_are_those_of_the_second_reading(
    database: DuckDBStore, data: Path, options: dict[str, Any], n_images: int
) -> None:
    """Rows that were left out then are left out again, so that it is the same dataset; each file is read once."""
    strata, said = read_again(database, registered(database, data, **options))
    assert len(strata.of_image) == n_images
    assert said == [f"bench: {n_images} images in 2 strata of place"]


def test_axes_of_its_own_are_read_again(database: DuckDBStore, data: Path) -> None:
    """Refutes: with the built-in ones no row gives a pair."""
    data.write_text(data.read_text().replace('"left"', '"hot"').replace('"right"', '"cold"'))
    strata, _ = read_again(database, registered(database, data, axes=HEAT))
    assert strata.n_strata == 2


def test_an_image_in_a_file_of_its_own_that_has_changed_is_refused(database: DuckDBStore, data: Path) -> None:
    """The benchmark's file names it, and is the same."""
    data.write_text(
        data.read_text().replace("outdoor", "street")
    )  # a dataset that the database does not know yet
    dataset_id = registered(database, data)
    Image.new("RGB", (70, 64), "blue").save(data.with_name("2.png"))
    with pytest.raises(InputError, match=r"bench.jsonl is not as it was when bench was extracted"):
        read_again(database, dataset_id)
