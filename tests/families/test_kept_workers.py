"""Processes of models outlive one model, and start while other things are prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.families import (
    Environment,
    KeptFamily,
    KeptWorkers,
    ModelOptions,
    kept_workers,
    n_processes,
    open_family,
)
from vlmprobe.families.remote import RemoteFamily
from vlmprobe.families.worker import LoadOptions

from .conftest import CHECKPOINTS

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.families.worker import BatchItem

HERE = Environment.of_this_process()


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which a driver lists its GPUs: two."""
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(kept_workers, "_NVIDIA", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "n"),
    [
        (ModelOptions(), 2),
        (ModelOptions(device="cuda"), 2),
        (ModelOptions(device="cuda:1"), 1),
        (ModelOptions(device="cpu"), 0),
        (ModelOptions(devices=("0",)), 1),
        (ModelOptions(devices=("cpu",)), 0),
        (ModelOptions(devices=("cpu", "cpu", "cpu")), 3),
    ],
)
@pytest.mark.usefixtures("gpus")
def test_how_many_processes_a_model_will_have_is_known_before_pytorch_is(
    options: ModelOptions, n: int
) -> None:
    """Else their processes could start only after this one has imported it."""
    assert n_processes(options) == n


@pytest.mark.parametrize(("shown", "n"), [("", 0), ("1", 1), ("0,1", 2), ("1,-1,0", 1), ("0,1,2,3", 2)])
@pytest.mark.usefixtures("gpus")
def test_gpus_that_are_hidden_from_the_process_are_not_counted(
    shown: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a shared server, where each user has one of eight."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert n_processes(ModelOptions()) == n


def test_a_process_that_is_broken_or_gone_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next model gets another, and the study goes on."""
    closed: list[RemoteFamily] = []
    monkeypatch.setattr(RemoteFamily, "close", lambda self: closed.append(self))

    def broken(_: RemoteFamily) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    workers = KeptWorkers()
    one, other = RemoteFamily("tiny", HERE), RemoteFamily("tiny", HERE)
    monkeypatch.setattr(RemoteFamily, "unload", broken)
    workers.keep("tiny", HERE, "cpu", one)
    assert closed == [one]
    monkeypatch.setattr(RemoteFamily, "unload", lambda _: None)
    workers.keep("tiny", HERE, "cpu", other)
    other._worker._ended = "was killed by SIGKILL"
    assert workers.take("tiny", HERE, "cpu") not in (one, other)
    assert closed == [one, other]


def test_a_process_serves_the_device_that_it_served_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that used no device yet comes next, then a new one; never one of another device."""
    monkeypatch.setattr(RemoteFamily, "begin", lambda _: None)
    monkeypatch.setattr(RemoteFamily, "unload", lambda _: None)
    with KeptWorkers() as workers:
        workers.begin("tiny", HERE, 2)
        one, other = (workers.take("tiny", HERE, device) for device in ("cuda:0", "cuda:1"))
        assert one is not other
        workers.keep("tiny", HERE, "cuda:1", other)
        assert workers.take("tiny", HERE, "cuda:0") not in (one, other)
        assert workers.take("tiny", HERE, "cuda:1") is other


@pytest.mark.full
def test_a_kept_process_answers_with_the_next_model_and_ends_with_the_context(
    items: list[BatchItem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without another start: the second checkpoint's answers are those of a process of its own."""
    answers: list[Any] = []
    with KeptWorkers() as workers:
        workers.begin("tiny", HERE, 1)
        for scale in ("vanilla", "2m"):
            family = workers.take("tiny", HERE, "cpu")
            process = family._worker
            model = family.load(LoadOptions(str(CHECKPOINTS / scale), device="cpu", dtype="float32"))
            answers.append((process, model.run_batch(items)))
            workers.keep("tiny", HERE, "cpu", family)
        (first, _), (second, found) = answers
        assert first is second
    assert second._process is None
    alone = RemoteFamily("tiny", HERE)
    with alone.load(LoadOptions(str(CHECKPOINTS / "2m"), device="cpu", dtype="float32")) as model:
        expected = model.run_batch(items)
    assert found.texts == expected.texts
    assert found.states.tobytes() == expected.states.tobytes()


def test_nothing_is_started_once_they_were_stopped() -> None:
    """A thread that prepares the next scale may come late, after Ctrl-C; its process would stay."""
    with KeptWorkers() as workers:
        pass
    with pytest.raises(ValueError, match="were stopped"):
        workers.begin("tiny", HERE, 1)
    workers.load_ahead("tiny", HERE, LoadOptions("x"), "")
    assert not any(workers._idle.values())


@pytest.mark.full
def test_the_next_checkpoint_is_loaded_while_another_is_asked(items: list[BatchItem]) -> None:
    """In a process of its own, which then answers as one would that loaded it in its turn."""

    def options(scale: str) -> LoadOptions:
        return LoadOptions(str(CHECKPOINTS / scale), device="cpu", dtype="float32", devices=("cpu",))

    with KeptWorkers() as workers:
        family = KeptFamily("tiny", HERE, workers)
        with family.load(options("vanilla")) as model:
            family.load_ahead(options("2m"))
            model.run_batch(items)
        (begun,) = [each for _, each in workers._idle["tiny", HERE] if each.is_ahead(options("2m"), "")]
        with family.load(options("2m")) as model:
            assert model._workers[0].family.family is begun  # type: ignore[attr-defined]
            found = model.run_batch(items)
        # Another one than was expected is loaded all the same.
        family.load_ahead(options("2m"))
        with family.load(options("vanilla")) as model:
            other = model.run_batch(items)
        # So is one whose files have changed since.
        family.load_ahead(options("2m"))
        (_, begun) = next(entry for entry in workers._idle["tiny", HERE] if entry[1].has_ahead)
        assert begun._ahead is not None
        ahead = begun._ahead[2]
        family.content = "of other files"
        with family.load(options("2m")) as model:
            again = model.run_batch(items)
            assert model._workers[0].model is not ahead.result()
    assert not any(workers._idle.values())
    with open_family("tiny").load(options("2m")) as alone:
        expected = alone.run_batch(items)
    assert found.texts == expected.texts
    assert found.states.tobytes() == expected.states.tobytes()
    assert other.states.tobytes() != expected.states.tobytes()
    assert again.states.tobytes() == expected.states.tobytes()


@pytest.fixture
def elsewhere(plugins: None) -> LoadOptions:
    """Return options whose checkpoint is in no folder, so that nobody knows how large it is; each process knows its."""
    return LoadOptions("say who", device="cpu", dtype="float32", devices=("cpu",))


def test_the_first_checkpoint_is_loaded_before_it_is_asked_for(elsewhere: LoadOptions) -> None:
    """No other model has the device, so nobody asks whether it fits; beside another one it would not be loaded."""
    with KeptWorkers() as workers:
        family = KeptFamily("odd", HERE, workers)
        family.load_ahead(elsewhere, beside=False)
        ((_, begun),) = workers._idle["odd", HERE]
        assert begun._ahead is not None
        ahead = begun._ahead[2]
        with family.load(elsewhere) as model:
            assert model._workers[0].model is ahead.result() is not None
        family.load_ahead(elsewhere)
        ((_, begun),) = workers._idle["odd", HERE]
        assert begun._ahead is not None
        assert begun._ahead[2].result() is None


def test_what_is_being_loaded_is_not_loaded_a_second_time(
    elsewhere: LoadOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study loads the next scale ahead, and its extraction begins with the same."""
    loads: list[str] = []
    original = RemoteFamily.load_ahead

    def counted(self: RemoteFamily, options: LoadOptions, content: str, *, beside: bool = True) -> None:
        loads.append(content)
        original(self, options, content, beside=beside)

    monkeypatch.setattr(RemoteFamily, "load_ahead", counted)
    with KeptWorkers() as workers:
        family = KeptFamily("odd", HERE, workers)
        for content in ("one", "one", "other"):
            family.content = content
            family.load_ahead(elsewhere, beside=False)
    assert loads == ["one", "other"]
