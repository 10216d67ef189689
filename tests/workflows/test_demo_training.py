"""``vlmprobe demo train``: the command, what it logs, and that its checkpoints can be probed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.demo.training.conftest import TOY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command_line import Shell


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the tests of one training in one home."""
    return tmp_path_factory.mktemp("training-home")


@pytest.fixture(scope="module")
def toy_file(home: Path) -> Path:
    """Write a configuration file as a user would."""
    path = home / "toy.toml"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="module")
def trained(inside: Shell, home: Path, toy_file: Path) -> Path:
    """Run the command once."""
    out = home / "out"
    ran = inside("demo", "train", "--config", toy_file, "--out", out, "--device", "cpu", "--home", home).ok()
    assert "questions/s" in ran.err
    assert "| vanilla |" in ran.out
    return out


def test_mlflow_shows_a_run_per_scale_with_its_curves(trained: Path, home: Path) -> None:
    """In an experiment of its own, with parameters, training curves and the evaluation."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vlmprobe-training")
    runs: dict[str, Any] = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {f"tiny seed 5 @ {scale}" for scale in ("vanilla", "some", "more")}
    for run in runs.values():
        assert run.info.status == "FINISHED"
        assert run.data.params["fine_tuning.learning_rate"] == "0.0003"
        assert run.data.metrics["train/loss"] > 0
        assert "evaluation/accuracy.both.distance.counter.published" in run.data.metrics


@pytest.mark.full
def test_its_checkpoints_can_be_probed(
    inside: Shell, trained: Path, home: Path, benchmark: Callable[..., Path]
) -> None:
    """Like any other: the family tiny with a folder."""
    inside(
        "extract",
        "tiny",
        "--scale",
        "mine",
        "--checkpoint",
        trained / "more",
        "--data",
        benchmark(2),
        "--home",
        home,
    ).ok()


@pytest.mark.full
def test_without_mlflow_the_training_goes_on(
    inside: Shell, home: Path, toy_file: Path, tmp_path: Path
) -> None:
    """It says so once, and the checkpoints are there."""
    ran = inside(
        "demo", "train", "--config", toy_file, "--out", tmp_path / "out", "--device", "cpu", "--home", home,
        MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    ).ok()  # fmt: skip
    assert ran.err.count("training continues") == 1
    assert (tmp_path / "out" / "more" / "model.safetensors").exists()


def test_a_mistake_in_the_file_is_one_line(inside: Shell, tmp_path: Path) -> None:
    """Exit code 2, and nothing is made."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[vanilla]\nlearning_rte = 1e-3\n")
    ran = inside("demo", "train", "--config", wrong, "--out", tmp_path / "out")
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert "unknown key 'vanilla.learning_rte'" in ran.errors[0]
    assert not (tmp_path / "out").exists()
