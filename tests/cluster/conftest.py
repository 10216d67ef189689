"""A Postgres of these tests' own, the benchmark, and what a study without a cluster makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ..postgres_server import keeps_a_file, postgres_server
from .team import BATCH, SHARD_PAIRS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..command_line import Shell
    from ..postgres_server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start a Postgres that no other test uses: those that share one take turns."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def pairs(inside: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 8 pairs of each category, as a user does."""
    folder = tmp_path_factory.mktemp("pairs")
    inside("demo", "benchmark", folder, "--pairs", 8, "--home", folder / "home").ok()
    return folder / "benchmark.tsv"


@pytest.fixture(scope="session")
def many_pairs(inside: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw 40 pairs of each category: 30 batches, so that each of four parts is at work for a while."""
    folder = tmp_path_factory.mktemp("many-pairs")
    inside("demo", "benchmark", folder, "--pairs", 40, "--home", folder / "home").ok()
    return folder / "benchmark.tsv"


@pytest.fixture(scope="session")
def one_process(
    inside: Shell, many_pairs: Path, mlflow_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the home of a scale that one process extracted, with the plan that its parts obey elsewhere."""
    home = keeps_a_file(tmp_path_factory.mktemp("one-process") / "home")
    command: tuple[Any, ...] = ("run", "tiny", "--scale", "2m", "--data", many_pairs, *BATCH, "--home", home)
    inside(*command, VLMPROBE_SHARD_PAIRS=SHARD_PAIRS, **mlflow_store).ok()
    return home


@pytest.fixture(scope="session")
def local_study(
    inside: Shell, pairs: Path, mlflow_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the home of a study that one machine made: ``--engine local``."""
    home = keeps_a_file(tmp_path_factory.mktemp("undisturbed") / "home")
    command: tuple[Any, ...] = ("run", "tiny", "--data", pairs, *BATCH, "--engine", "local", "--home", home)
    inside(*command, VLMPROBE_SHARD_PAIRS=SHARD_PAIRS, **mlflow_store).ok()
    return home
