"""One scale name is one checkpoint, and arguments are checked before anything slow."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from ..left_behind import change_rows, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OF_BEFORE = """
    INSERT INTO runs (run_id, run_key, dataset_id, template, family, scale, checkpoint, fingerprint, status,
        provenance, versions, config, created_at, updated_at)
    SELECT 'r1', 'k1', 'd', 'published', 'tiny', '2m', 'models/before', repeat('ab', 32), 'complete', 'extracted',
        '{}', '{}', TIMESTAMP '2026-11-01 12:00', TIMESTAMP '2026-11-01 12:00'
"""


@pytest.fixture
def home(inside: Any, empty_mlflow: Path, tmp_path: Path) -> Path:
    """Make a home in which tiny @ 2m was another checkpoint."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    inside("db", "upgrade", "--home", tmp_path).ok()
    change_rows(tmp_path, OF_BEFORE)
    return tmp_path


@pytest.mark.parametrize("command", ["extract", "run"])
def test_another_checkpoint_under_the_same_name_is_said_at_once(
    command: str, inside: Any, home: Path, benchmark: Callable[..., Path]
) -> None:
    """Both are named, with when the earlier one ran; nothing is loaded or written."""
    ran = inside(command, "tiny", "--scale", "2m", "--data", benchmark(4), "--home", home)
    assert ran.code == 2
    (line,) = ran.errors
    assert (
        "tiny @ 2m was models/before until now (fingerprint abababababab, run of 2026-11-01 12:00 UTC)"
        in line
    )
    assert "pass --new-checkpoint to go on under this one" in line
    assert "loading" not in ran.err
    assert read_rows(home, "SELECT count(*) FROM datasets") == [(0,)]


@pytest.mark.full
def test_who_means_it_goes_on(inside: Any, home: Path, benchmark: Callable[..., Path]) -> None:
    """From then on the name stands for both, and is not asked about again."""
    extract = ("extract", "tiny", "--scale", "2m", "--data", benchmark(4), "--max-per-category", "1")
    inside(*extract, "--new-checkpoint", "--home", home).ok()
    assert "complete already" in inside(*extract, "--home", home).ok().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("tiny", "--scale", "2m", "--dtype", "fp16"),
            "unknown dtype 'fp16'; known: auto, float32, bfloat16, float16",
        ),
        (("tinny", "--scale", "2m"), "unknown family 'tinny'"),
        (("tiny", "--scale", "3m"), "3m"),
        (("tiny", "--scale", "../x", "--checkpoint", "."), "../x"),
        (("tiny", "--scale", "x", "--checkpoint", "./no-such-model"), "./no-such-model: no such folder"),
        (
            ("tiny", "--scale", "x", "--checkpoint", ".", "--processor", "/no/such"),
            "/no/such: no such folder",
        ),
        (("tiny", "--scale", "2m", "--layers", "0,-3"), "--layers '0,-3': use 'all' or layer numbers"),
        (
            ("tiny", "--scale", "2m", "--layers", "5,99"),
            "--layers: layer 99 does not exist; ",
        ),
        (("tiny", "--scale", "2m", "--templates", "polite"), "unknown template 'polite'"),
        (("tiny", "--scale", "2m", "--batch-size", "0"), "--batch-size '0'"),
        (("tiny", "--scale", "2m", "--devices", "0,,1"), "--devices '0,,1'"),
    ],
)
def test_arguments_are_checked_before_the_benchmark_is_read(
    arguments: tuple[str, ...], says: str, inside: Any, tmp_path: Path
) -> None:
    """There is no benchmark here, and yet the argument is what is wrong: it was looked at first."""
    ran = inside("extract", *arguments, "--data", tmp_path / "none.tsv", "--home", tmp_path)
    assert ran.code == 2
    assert says in ran.errors[0]
    assert "none.tsv" not in ran.errors[0]
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_of_one_scale(inside: Any, tmp_path: Path) -> None:
    """``run`` takes the options of ``extract``, for the scale that it is told."""
    run = ("run", "tiny", "--data", tmp_path / "none.tsv", "--checkpoint", ".", "--home", tmp_path)
    assert "are of one scale; name it with --scale" in inside(*run).errors[0]
    both = inside(*run, "--scale", "80k", "--scale", "2m")
    assert "are of one scale, not of 80k, 2m; run each scale apart" in both.errors[0]
