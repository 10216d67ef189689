"""Several templates of one extraction: their questions share the batches, and each run is as if it were asked alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import vlmprobe
from vlmprobe.extraction.certification import choose_pairs
from vlmprobe.families import BatchItem, certificate
from vlmprobe.store.lease import hold_lease

if TYPE_CHECKING:
    from collections.abc import Callable

BUNDLED = Path(vlmprobe.__file__).parent / "demo" / "checkpoints" / "2m"
#: They begin with other words, and end with others.
ASKED = ("published", "mention-swapped", "yes-no")


@pytest.fixture
def ask(
    inside: Any, mlflow_store: dict[str, str], benchmark: Callable[..., Path], tmp_path: Path
) -> Callable[..., Any]:
    """Extract 24 pairs of 2m under some templates, in three batches."""
    data = benchmark(4)

    def run(templates: str, *more: object, home: str = "home", family: str = "tiny") -> Any:
        scale = ("--scale", "2m", *(() if family == "tiny" else ("--checkpoint", BUNDLED)))
        where = ("--home", tmp_path / home, "--data", data, "--batch-size", 8)
        return inside("extract", family, *scale, *where, "--templates", templates, *more, **mlflow_store)

    return run


@pytest.mark.parametrize(
    ("family", "asked"),
    [
        pytest.param("tiny", ("published", "yes-no"), id="tiny, two"),
        pytest.param("tiny", ASKED, id="tiny", marks=pytest.mark.full),
        pytest.param("auto", ASKED, id="auto", marks=pytest.mark.full),
    ],
)
def test_each_run_is_as_if_it_were_asked_alone(
    family: str, asked: tuple[str, ...], ask: Callable[..., Any], rows: Any, tmp_path: Path
) -> None:
    """The same answers, and states to a relative 1e-5 in float32; each has a certificate of its own pairs."""
    ask(",".join(asked), home="together", family=family).ok()
    for template in asked:
        ask(template, home="alone", family=family).ok()
    together, alone = (_left(rows, tmp_path / home) for home in ("together", "alone"))
    assert together.keys() == alone.keys()
    assert len(together) == len(asked) * 24
    for key, (texts, margins, states) in together.items():
        assert texts == alone[key][0]
        np.testing.assert_allclose(margins, alone[key][1], atol=1e-3)
        apart = np.linalg.norm(states - alone[key][2], axis=-1) / np.linalg.norm(alone[key][2], axis=-1)
        assert apart.max() <= 1e-5
    certified = (
        "SELECT template, batch, passed, n_questions FROM certificates JOIN runs USING (run_id) ORDER BY ALL"
    )
    found = rows(tmp_path / "together", certified)
    assert {template for template, *_ in found} == set(asked)
    # Of eight pairs that the runs of a batch share, each with two questions.
    each = 2 * (8 // len(asked))
    assert all(passed and n_questions == each for _, _, passed, n_questions in found)
    assert rows(tmp_path / "alone", certified.replace(", n_questions", "")) == [row[:3] for row in found]


@pytest.mark.full
def test_runs_that_were_stopped_at_different_places_are_finished_together(
    ask: Callable[..., Any], rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has two batches, one has one, the third none: each is asked what it lacks, and nothing twice."""
    with monkeypatch.context() as patch:
        _stop_after(patch, 1)
        assert ask("published").code == 130
    with monkeypatch.context() as patch:
        _stop_after(patch, 1)
        assert ask("published,yes-no").code == 130
    states = """
        SELECT template, status, count(DISTINCT pair_id) FROM runs LEFT JOIN predictions USING (run_id) GROUP BY 1, 2
    """
    assert sorted(rows(tmp_path / "home", states)) == [
        ("published", "interrupted", 8),
        ("yes-no", "interrupted", 8),
    ]
    with monkeypatch.context() as patch:
        _stop_after(patch, 1)
        assert ask("published").code == 130
    said = ask(",".join(ASKED)).ok().err
    assert "tiny @ 2m: complete: 8 pairs extracted, 16 reused" in said
    assert "tiny @ 2m (yes-no): complete: 16 pairs extracted, 8 reused" in said
    assert "tiny @ 2m (mention-swapped): complete: 24 pairs extracted, 0 reused" in said
    counted = "SELECT count(*), count(DISTINCT (run_id, pair_id, side)) FROM predictions"
    assert rows(tmp_path / "home", counted) == [(144, 144)]
    ask(",".join(ASKED), home="undisturbed").ok()
    again, undisturbed = (_left(rows, tmp_path / home) for home in ("home", "undisturbed"))
    assert {key: left[0] for key, left in again.items()} == {
        key: left[0] for key, left in undisturbed.items()
    }


@pytest.mark.full
def test_a_template_that_another_process_is_at_stops_all(
    ask: Callable[..., Any], rows: Any, tmp_path: Path
) -> None:
    """Nothing is inferred, and no lease is kept: once the other is done, the same command finishes."""
    ask("yes-no").ok()
    ((key,),) = rows(tmp_path / "home", "SELECT run_key FROM runs")
    with hold_lease(tmp_path / "home" / "vlmprobe.duckdb", key):
        refused = ask("published,yes-no")
    assert refused.code == 1
    assert "this run is being extracted by process" in refused.errors[0]
    assert "loading" not in refused.err
    states = "SELECT template, status FROM runs ORDER BY 1"
    assert rows(tmp_path / "home", states) == [("published", "created"), ("yes-no", "complete")]
    ask("published,yes-no").ok()
    assert rows(tmp_path / "home", states) == [("published", "complete"), ("yes-no", "complete")]


@pytest.mark.full
def test_a_pair_that_fails_under_one_template_is_answered_under_the_others(
    ask: Callable[..., Any], rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch goes through pair by pair, and the failure is that run's alone."""
    from vlmprobe.families.worker.qwen.family import Tiny

    write, broken = Tiny.prompts, []

    def fail(family: Any, items: Any) -> Any:
        of_yes_no = [item for item in items if item.answers[0][0] in {"yes", "no"}]
        broken.extend(item.questions for item in of_yes_no[:1] if not broken)
        if any(item.questions in broken for item in items):
            raise ValueError("no such words")
        return write(family, items)

    monkeypatch.setattr(Tiny, "prompts", fail)
    said = ask("published,yes-no").ok().err
    assert "note: tiny @ 2m (yes-no): pair " in said
    failed = "SELECT template, count(*), min(message) FROM failures JOIN runs USING (run_id) GROUP BY 1"
    assert rows(tmp_path / "home", failed) == [("yes-no", 1, "no such words")]
    counted = "SELECT template, count(DISTINCT pair_id) FROM predictions JOIN runs USING (run_id) GROUP BY 1 ORDER BY 1"
    assert rows(tmp_path / "home", counted) == [("published", 24), ("yes-no", 23)]


def test_a_failed_certificate_has_the_pairs_of_all_runs_redone(
    ask: Callable[..., Any], rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs share the passes that were found wrong; all go on with plain forwards, and say so."""
    monkeypatch.setattr(certificate, "MAX_REL_DH", -1.0)
    said = ask("published,yes-no").ok().err
    assert said.count("the fast path disagreed with plain forward passes at batch 0") == 1
    found = rows(
        tmp_path / "home", "SELECT template, batch, passed, action FROM certificates JOIN runs USING (run_id)"
    )
    assert sorted(found) == [
        ("published", 0, False, "redone plainly"),
        ("yes-no", 0, False, "redone plainly"),
    ]
    counted = "SELECT template, count(DISTINCT pair_id) FROM predictions JOIN runs USING (run_id) GROUP BY 1 ORDER BY 1"
    assert rows(tmp_path / "home", counted) == [("published", 24), ("yes-no", 24)]


@pytest.mark.parametrize(("n_runs", "each"), [(1, 8), (2, 4), (5, 2), (8, 2)])
def test_plain_forwards_are_shared_out_among_the_runs(n_runs: int, each: int) -> None:
    """Eight pairs of a batch in all, two of each run at least, about different pictures as far as there are."""
    image = Image.new("RGB", (8, 8))
    # The last pair has the longest questions.
    prefixes = [f"{place}:" if n_runs > 1 else "" for place in range(n_runs)]
    items = [
        BatchItem(f"{prefix}{number}", image, ("?" * number, ""), (("", ""), ("", "")))
        for number in range(16)
        for prefix in prefixes
    ]
    chosen = [item.pair_id for item in choose_pairs(items, ((),) * n_runs)]
    assert len(set(chosen)) == len(chosen) == each * n_runs
    assert all(sum(pair_id.startswith(prefix) for pair_id in chosen) == each for prefix in prefixes)
    pictures = {pair_id.rpartition(":")[2] for pair_id in chosen}
    assert {"0", "15"} <= pictures
    assert len(pictures) == min(16, each * n_runs)


def _stop_after(patch: pytest.MonkeyPatch, n_batches: int) -> None:
    """Press Ctrl-C once so many batches are collected."""
    from vlmprobe.extraction.loop import Extraction

    collect, collected = Extraction._collect, []

    def stop(extraction: Any, *arguments: Any) -> None:
        if len(collected) == n_batches:
            raise KeyboardInterrupt
        collect(extraction, *arguments)
        collected.append(1)

    patch.setattr(Extraction, "_collect", stop)


def _left(rows: Any, home: Path) -> dict[tuple[str, str], tuple[list[str], list[float], Any]]:
    """Return by template and pair the answers, the margins and the states, (layers, 2, dim)."""
    from vlmprobe.store.shards import read_header, read_layer

    states = {}
    for template, path in rows(home, "SELECT template, path FROM shards JOIN runs USING (run_id)"):
        shard = read_header(home / path)
        layers = np.stack([read_layer(home / path, layer) for layer in shard.layers])
        states |= {(template, pair_id): layers[:, row] for row, pair_id in enumerate(shard.pair_ids)}
    answers = rows(
        home,
        "SELECT template, pair_id, array_agg(text ORDER BY side), array_agg(coalesce(margin, 0) ORDER BY side) "
        "FROM predictions JOIN runs USING (run_id) GROUP BY template, pair_id",
    )
    return {
        (template, pair_id): (texts, margins, states[template, pair_id])
        for template, pair_id, texts, margins in answers
    }
