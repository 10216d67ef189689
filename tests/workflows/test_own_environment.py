"""A run whose model lives in a process of another Python: killed twice, it ends with the rows of an undisturbed one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import vlmprobe
from vlmprobe.errors import ModelError
from vlmprobe.families import BatchItem, Environment, LoadOptions, compare, open_family

from ..architectures import NATIVE
from ..nvila_environment import build_nvila, nvila_settings
from ..older_environment import EnvironmentFailed, older_environment

if TYPE_CHECKING:
    from collections.abc import Callable

BUNDLED = Path(vlmprobe.__file__).parent / "demo" / "checkpoints" / "2m"
SHARD_PAIRS = {"VLMPROBE_SHARD_PAIRS": "16"}


def _workers_of(process: Any) -> list[int]:
    """Return the processes that a command started to serve its model."""
    tasks = Path(f"/proc/{process.pid}/task")
    children = [child for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    return [
        int(child) for child in children if b"bootstrap.py" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def _shards(home: Path) -> set[str]:
    return {shard.name for shard in home.glob("spool/*/*.safetensors")}


def _environment(name: str) -> Path:
    try:
        return older_environment(name)
    except EnvironmentFailed as error:
        pytest.skip(str(error))


@pytest.fixture
def killed_twice(
    shell: Any, wait_until: Any, mlflow_store: dict[str, str], tmp_path: Path
) -> Callable[..., Path]:
    """Run a command whose worker is killed twice in the middle, and a third time to its end; return its home.

    Each kill is one line and exit code 1. It comes as soon as a new shard is on disk: the rows follow later, and a
    model this small may be done by then.
    """

    def run(settings: str, *command: object) -> Path:
        elsewhere, home = type(shell)(tmp_path), tmp_path / "home"
        (tmp_path / "vlmprobe.toml").write_text(settings)
        command = (*command, "--batch-size", 8, "--home", home)
        seen: set[str] = set()
        for _ in range(2):
            process = elsewhere.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
            wait_until(lambda: _shards(home) - seen, process)  # noqa: B023  (called before seen changes)
            (worker,) = _workers_of(process)
            os.kill(worker, signal.SIGKILL)
            ended = elsewhere.finish(process)
            assert ended.code == 1, ended.err
            (line,) = ended.errors
            assert "was killed by SIGKILL (perhaps out of memory) while running a batch" in line
            assert line.endswith("finished work is kept; rerun the same command to resume")
            seen |= _shards(home)
        resumed = elsewhere(*command, **SHARD_PAIRS, **mlflow_store).ok()
        assert "pairs reused" in resumed.err
        return home

    return run


@pytest.mark.full
def test_a_worker_killed_twice_costs_no_row(study: Any, left: Any, killed_twice: Callable[..., Path]) -> None:
    """In a process of the same Python: bit for bit as in the parent's, and every pair in one shard only."""
    settings = f'[families.tiny]\npython = "{sys.executable}"\n'
    home = killed_twice(settings, "extract", "tiny", "--scale", "2m", "--data", study.data)

    ours, theirs = left(home), left(study.home)
    assert ours.answers == theirs.answers
    assert ours.states == theirs.states
    assert ours.certificates == theirs.certificates
    assert ours.in_shards == theirs.in_shards == sorted(set(ours.in_shards))


@pytest.fixture
def two_places(shell: Any, tmp_path: Path) -> Any:
    """Run commands where family tiny has two workers, each started by another program, as on two machines."""
    launch = [["env"], ["sh", "-c", 'exec "$@"', "sh"]]
    (tmp_path / "vlmprobe.toml").write_text(f"[families.tiny]\nlaunch = {launch}\n")
    return type(shell)(tmp_path)


@pytest.mark.full
def test_a_run_at_two_places_survives_a_stop_and_a_lost_worker(
    study: Any, left: Any, two_places: Any, wait_until: Any, mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """SIGTERM leaves no worker behind; a worker that is killed costs a note; the rows are those of one process."""
    home = tmp_path / "home"
    command = ("extract", "tiny", "--scale", "2m", "--data", study.data, "--batch-size", 8, "--home", home)
    process = two_places.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
    wait_until(lambda: _shards(home), process)
    workers = _workers_of(process)
    process.terminate()
    assert two_places.finish(process).code == 130
    wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))

    seen = _shards(home)
    process = two_places.start_behind(*command, **SHARD_PAIRS, **mlflow_store)
    wait_until(lambda: _shards(home) - seen, process)
    workers = _workers_of(process)
    os.kill(workers[0], signal.SIGKILL)
    ended = two_places.finish(process).ok()
    assert "2 places share the batches: place 1, env; place 2, sh -c exec" in ended.err
    assert "its process died and is being restarted" in ended.err

    ours, theirs = left(home), left(study.home)
    assert ours.answers == theirs.answers
    assert ours.states == theirs.states
    assert ours.in_shards == theirs.in_shards == sorted(set(ours.in_shards))


@pytest.mark.full
def test_a_study_at_two_places_has_the_numbers_of_one_process(
    study: Any, rows: Any, two_places: Any, mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """Its scales go one after the other, with the workers of the first."""
    home = tmp_path / "home"
    scales = ("--scale", "vanilla", "--scale", "2m")
    where = ("--home", home, "--out", tmp_path / "report")
    two_places("run", "tiny", "--data", study.data, *scales, "--batch-size", 8, *where, **mlflow_store).ok()
    metrics = (
        "SELECT scale, name, metrics.version, subset, target, layer, value, ci_low, ci_high, n "
        "FROM metrics JOIN runs USING (run_id) ORDER BY ALL"
    )
    assert rows(home, metrics) == rows(study.home, metrics)


@pytest.mark.full
@pytest.mark.parametrize("name", ["transformers-4.49", "transformers-4.57"])
def test_an_older_transformers_gives_the_same_rows(
    name: str, study: Any, rows: Any, left: Any, killed_twice: Callable[..., Path]
) -> None:
    """Killed twice, in an environment of its own: rows as in-process on transformers 5, states within 1e-5 of |h|."""
    settings = f'[families.tiny]\npython = "{_environment(name)}"\n'
    home = killed_twice(settings, "extract", "tiny", "--scale", "2m", "--data", study.data)

    ((version,),) = rows(home, "SELECT config->>'$.manifest.transformers' FROM runs")
    assert version.startswith(name.removeprefix("transformers-"))
    ours, theirs = left(home), left(study.home)
    columns = [column for (column, *_) in rows(home, "DESCRIBE predictions")]
    margin = [column for column in columns if column not in ("run_id", "shard", "shard_row")].index("margin")
    assert [row[:margin] + row[margin + 1 :] for row in ours.answers] == [
        row[:margin] + row[margin + 1 :] for row in theirs.answers
    ]
    np.testing.assert_allclose(
        *(np.array([row[margin] for row in each.answers]) for each in (ours, theirs)), atol=1e-3
    )
    assert ours.in_shards == theirs.in_shards == sorted(set(ours.in_shards))
    errors = [
        _relative_error(ours.states[layer][pair], theirs.states[layer][pair])
        for layer in theirs.states
        for pair in theirs.states[layer]
    ]
    print(f"{name} ({version}): max |dh|/|h| = {max(errors):.1e} over {len(errors)} layers and pairs")
    assert max(errors) <= 1e-5
    certificates = rows(home, "SELECT passed, action, max_rel_dh FROM certificates")
    assert certificates
    assert all(passed and action == "kept" and worst <= 1e-5 for passed, action, worst in certificates)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("transformers-4.49", "qwen2_5_vl"),
        ("transformers-4.57", "qwen2_5_vl"),
        ("transformers-4.57", "qwen3_vl"),
    ],
)
def test_any_model_runs_on_an_older_transformers(name: str, architecture: str, tmp_path: Path) -> None:
    """Family auto in an environment of its own: answers as in this process, states within 1e-5 of |h|."""
    checkpoint = BUNDLED if architecture == "qwen2_5_vl" else tmp_path
    if checkpoint is tmp_path:
        NATIVE[architecture](tmp_path)
    pairs = _pairs()
    outputs = []
    for environment in (None, Environment(str(_environment(name)))):
        family = open_family("auto", environment)
        options = family.resolve(LoadOptions(str(checkpoint), device="cpu", dtype="float32"))
        with family.load(options) as model:
            outputs.append(model.run_batch(pairs))
            assert compare(outputs[-1], model.run_plain(pairs), model.info.layers).max_rel_dh <= 1e-5
    ours, theirs = outputs
    assert ours.texts == theirs.texts
    worst = compare(theirs, ours, range(len(ours.states))).max_rel_dh
    print(f"auto, {architecture} on {name}: max |dh|/|h| = {worst:.1e}")
    assert worst <= 1e-5


@pytest.mark.full
def test_a_checkpoint_that_an_older_transformers_does_not_read_is_one_line(tmp_path: Path) -> None:
    """Its weights have other names there: what saved it, what is there, and what reads it."""
    NATIVE["gemma3"](tmp_path)
    family = open_family("auto", Environment(str(_environment("transformers-4.57"))))
    try:
        with pytest.raises(
            ModelError, match=r"saved by transformers 5\..* install 'transformers>=5'"
        ) as caught:
            family.load(family.resolve(LoadOptions(str(tmp_path))))
    finally:
        family.close()
    assert "\n" not in str(caught.value)


def _pairs() -> list[BatchItem]:
    """Three pairs about images that are larger and smaller than a processor lets pass as they are."""
    random = np.random.default_rng(0)
    sizes = [(140, 140), (224, 112), (56, 56)]
    images = [
        Image.fromarray(random.integers(0, 255, (height, width, 3), np.uint8)) for width, height in sizes
    ]
    questions = (
        "Is the cup to the left or right of the book?",
        "Is the book to the left or right of the enormous cup?",
    )
    words = (("left", "right"), ("right", "left"))
    return [BatchItem(f"p{number}", image, questions, words) for number, image in enumerate(images)]


@pytest.mark.full
def test_nvila_killed_twice_ends_as_undisturbed(
    shell: Any,
    rows: Any,
    left: Any,
    benchmark: Callable[..., Path],
    mlflow_store: dict[str, str],
    killed_twice: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """In llava's environment, its code on the path: the rows and the bits of a run that nobody disturbed."""
    settings, checkpoint = nvila_settings(), tmp_path / "checkpoint"
    build_nvila(checkpoint)
    command = ("extract", "nvila", "--scale", "tiny", "--checkpoint", checkpoint, "--data", benchmark(16))
    home = killed_twice(settings, *command)
    undisturbed = tmp_path / "undisturbed"
    type(shell)(tmp_path)(
        *command, "--batch-size", 8, "--home", undisturbed, **SHARD_PAIRS, **mlflow_store
    ).ok()

    ours, theirs = left(home, "tiny"), left(undisturbed, "tiny")
    assert len(ours.answers) == 2 * 96
    assert ours.answers == theirs.answers
    assert ours.states == theirs.states
    assert ours.certificates == theirs.certificates
    assert ours.in_shards == theirs.in_shards == sorted(set(ours.in_shards))
    certificates = rows(home, "SELECT passed, action, max_rel_dh FROM certificates")
    worst = max(worst for _, _, worst in certificates)
    print(f"nvila: max |dh|/|h| = {worst:.1e} in {len(certificates)} certificates")
    assert all(passed and action == "kept" for passed, action, _ in certificates)
    assert worst <= 1e-5


def _relative_error(ours: bytes, theirs: bytes) -> float:
    """Return the larger |dh|/|h| of a pair's two sides."""
    one, other = (np.frombuffer(each, np.float32).reshape(2, -1) for each in (ours, theirs))
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(other, axis=1)).max())
