"""Image swaps among stored datasets: found by their pairs, and told apart from the original."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from vlmprobe.demo import build_benchmark
from vlmprobe.pairs import link_image_swaps, read_dataset
from vlmprobe.store.datasets import register_dataset
from vlmprobe.store.identity import utc_now
from vlmprobe.store.image_swaps import SwapsOf, exchanged_datasets, swaps_of
from vlmprobe.store.rows import insert_rows
from vlmprobe.store.schema import MetricRow, RunRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from vlmprobe.pairs import Dataset
    from vlmprobe.store.engine import Database


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    """Draw twelve pairs and their image swaps."""
    drawn = build_benchmark(tmp_path_factory.mktemp("swaps"), pairs_per_category=2, image_swaps=True)
    assert drawn.swaps is not None
    return read_dataset(drawn.tsv), read_dataset(drawn.swaps)


def _run(connection: Connection, dataset: Dataset, template: str, *, analyzed: bool = False) -> None:
    run_id = f"{dataset.name} {template} {analyzed}"
    row = {
        "run_id": run_id,
        "run_key": run_id,
        "dataset_id": dataset.dataset_id,
        "template": template,
        "family": "tiny",
        "scale": "2m",
        "checkpoint": "somewhere",
        "status": "complete",
        "provenance": "extracted",
        "created_at": utc_now(),
        "updated_at": utc_now(),
    }
    insert_rows(connection, RunRow, [row])
    if analyzed:
        key = {"name": "axis_coherence", "version": 1, "subset": "all", "target": "vertical", "layer": 3}
        insert_rows(connection, MetricRow, [{"run_id": run_id, **key, "n": 4, "computed_at": utc_now()}])


def test_pairs_with_each_others_answers_are_linked(
    database: Database, files: tuple[Dataset, Dataset]
) -> None:
    """From either side, under the template that both were asked with, as many as the files themselves link."""
    one, other = files
    with database.transaction() as connection:
        for dataset in (one.under("yes-no"), other.under("yes-no"), one):
            register_dataset(connection, dataset)
        n_linked = len(link_image_swaps(one, other).links)
        assert n_linked == 12
        assert swaps_of(connection, one.dataset_id, "yes-no") == [SwapsOf(other.dataset_id, n_linked)]
        assert swaps_of(connection, other.dataset_id, "yes-no") == [SwapsOf(one.dataset_id, n_linked)]
        assert swaps_of(connection, one.dataset_id, "published") == []


@pytest.mark.parametrize("column", ["orig_question", "swap_question", "image_sha256", "category"])
def test_what_differs_elsewhere_is_no_image_swap(
    database: Database, files: tuple[Dataset, Dataset], column: str
) -> None:
    """Another wording, the pair's own picture or the same relation: that pair is not counted, the others are."""
    one, other = files
    pair = one.pairs[0]
    was = {"category": str(pair.category), "image_sha256": pair.image_sha256}.get(column, "Is it so?")
    with database.transaction() as connection:
        register_dataset(connection, one)
        register_dataset(connection, other)
        connection.execute(
            text(f"UPDATE swap_pairs SET {column} = :was WHERE dataset_id = :id AND pair_id = :pair_id"),
            {"was": was, "id": other.dataset_id, "pair_id": pair.pair_id},
        )
        assert swaps_of(connection, one.dataset_id, "published") == [SwapsOf(other.dataset_id, 11)]


def test_the_original_is_the_one_that_is_analyzed(database: Database, files: tuple[Dataset, Dataset]) -> None:
    """Until one of the two is, neither is left out; a third dataset with the same questions and answers is no swap."""
    one, other = files
    copied = replace(one, dataset_id="copy", name="copy")
    with database.transaction() as connection:
        for dataset in (one, one.under("yes-no"), other.under("yes-no"), copied.under("yes-no")):
            register_dataset(connection, dataset)
        _run(connection, one, "yes-no", analyzed=True)
        _run(connection, other, "yes-no", analyzed=True)
        _run(connection, copied, "yes-no")
        assert exchanged_datasets(connection) == set()
        _run(connection, one, "published", analyzed=True)
        assert exchanged_datasets(connection) == {other.dataset_id}
        _run(connection, other, "published", analyzed=True)
        assert not {one.dataset_id, other.dataset_id} & exchanged_datasets(connection)
