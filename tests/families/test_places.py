"""A model's workers elsewhere, with real processes: these prefixes start them here, as srun would there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.errors import WorkerError
from vlmprobe.families import Environment, KeptFamily, KeptWorkers, open_family, worker_process
from vlmprobe.families.launch import named
from vlmprobe.families.remote import RemoteFamily
from vlmprobe.families.worker import LoadOptions

from ..command_line import PATIENCE_S
from .conftest import CHECKPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmprobe.families.pool import DevicePool
    from vlmprobe.families.worker import BatchItem

ENV = ["env"]
#: A shell that is replaced by the worker.
REPLACED = ["sh", "-c", 'exec "$@"', "sh"]
#: A shell whose child the worker is; it does not pass a signal on.
PARENT = ["sh", "-c", '"$@"; exit $?', "sh"]


class Pool:
    """An open pool and what it said."""

    def __init__(self, model: DevicePool) -> None:
        self.model = model
        self.lines: list[str] = []
        model.warn = self.lines.append

    @property
    def workers(self) -> list[Any]:
        return self.model._workers

    def wait_for_all(self, wait_until: Any) -> None:
        wait_until(lambda: all(worker.model is not None for worker in self.workers))

    def process(self, number: int) -> subprocess.Popen[bytes]:
        """Return the program that was started for a place, counted from 0."""
        process: subprocess.Popen[bytes] = self.workers[number].family.family._worker._process
        return process


@contextmanager
def opened(checkpoint: object, *prefixes: Sequence[str], family: str = "odd", **more: Any) -> Iterator[Pool]:
    """Open a checkpoint with a worker at each of some places."""
    settings = {"python": sys.executable, "timeout": PATIENCE_S, **more}
    with (
        KeptWorkers() as workers,
        KeptFamily(family, Environment(**settings, launch=named(prefixes)), workers).load(
            LoadOptions(str(checkpoint), device="cpu", dtype="float32", devices=("cpu",))
        ) as model,
    ):
        yield Pool(model)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., list[str]]:
    """Return a prefix that is a script of one's own."""

    def write(text: str, *words: str) -> list[str]:
        file = tmp_path / f"script-{len(list(tmp_path.glob('script-*')))}"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return [str(file), *words]

    return write


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]


@pytest.mark.full
def test_a_batch_has_the_bits_of_this_process_wherever_it_ran(
    items: list[BatchItem], wait_until: Any
) -> None:
    """States, texts and margins, on the fast path and by plain forwards, from two places at once."""
    with open_family("tiny").load(
        LoadOptions(str(CHECKPOINTS / "2m"), device="cpu", dtype="float32")
    ) as alone:
        fast, plain = alone.run_batch(items), alone.run_plain(items[:2])
    with opened(CHECKPOINTS / "2m", ENV, REPLACED, family="tiny") as pool:
        pool.wait_for_all(wait_until)
        found = [pool.model.submit(items) for _ in range(4)]
        reference = [pool.model.submit(items[:2], how="plain") for _ in range(2)]
        assert [len(worker.calls) for worker in pool.workers] == [3, 3]
        for expected, outputs in ((fast, found), (plain, reference)):
            for output in (each.result() for each in outputs):
                assert output.texts == expected.texts
                assert output.states.tobytes() == expected.states.tobytes()
                assert output.margins.tobytes() == expected.margins.tobytes()
        assert pool.model.info.manifest["devices"] == ["place 1, env", 'place 2, sh -c exec "$@" sh']


@pytest.mark.usefixtures("plugins")
def test_several_places_answer_in_the_order_of_the_questions(items: list[BatchItem], wait_until: Any) -> None:
    """Each batch at the next place that is free."""
    with opened("say who", ENV, REPLACED) as pool:
        pool.wait_for_all(wait_until)
        promised = [pool.model.submit([item]) for item in items * 2]
        answers = [each.result().texts[0] for each in promised]
    assert [pair_id for _, pair_id in answers] == [item.pair_id for item in items * 2]
    assert len({pid for pid, _ in answers}) == 2


@pytest.mark.usefixtures("plugins")
def test_a_worker_that_dies_in_mid_batch_costs_nothing(
    items: list[BatchItem], tmp_path: Path, wait_until: Any
) -> None:
    """Its batches are asked again elsewhere, it is started again, and one line says so."""
    deadly = tmp_path / "deadly"
    deadly.touch()
    with opened(f"die once {deadly}", ENV, PARENT) as pool:
        pool.wait_for_all(wait_until)
        promised = [pool.model.submit([item]) for item in items]
        outputs = [each.result() for each in promised]
        assert [output.pair_ids for output in outputs] == [(item.pair_id,) for item in items]
        pool.wait_for_all(wait_until)
    (line,) = pool.lines
    assert "its process died and is being restarted (family 'odd': the process of " in line
    assert "ended with exit code 9 while running a batch" in line
    assert line.endswith("of its batches are asked again elsewhere")


@pytest.mark.usefixtures("plugins")
def test_a_worker_that_is_killed_is_named_with_its_place(items: list[BatchItem], wait_until: Any) -> None:
    """By whom: the program before it says the signal by its exit code alone, as srun and docker do."""
    with opened("say who", ENV, PARENT) as pool:
        pool.wait_for_all(wait_until)
        (worker,) = _children(pool.process(1).pid)
        promised = [pool.model.submit([item]) for item in items]
        os.kill(worker, signal.SIGKILL)
        assert [each.result().pair_ids[0] for each in promised] == [item.pair_id for item in items]
        wait_until(lambda: pool.lines)
    assert 'place 2, sh -c "$@"; exit $? sh' in pool.lines[0]
    assert "ended with exit code 137, as after SIGKILL (perhaps out of memory) while " in pool.lines[0]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("prefix", "how"),
    [
        (["sh", "-c", "exit 127", "sh"], "ended with exit code 127"),
        (
            ["sh", "-c", "echo ssh: connect to host n2: timed out >&2; exit 255", "sh"],
            r"ended with exit code 255 \(ssh: connect to host n2: timed out\)",
        ),
    ],
)
def test_a_program_that_ends_at_once_gives_its_place_up(
    prefix: list[str], how: str, items: list[BatchItem], wait_until: Any
) -> None:
    """After a second try; the others go on. Alone it is an error of one line, with the place and the settings."""
    with opened("fine", ENV, prefix) as pool:
        assert pool.model.run_batch(items).pair_ids == tuple(item.pair_id for item in items)
        wait_until(lambda: len(pool.lines) == 2)
    first, second = pool.lines
    assert ": its process did not start; trying once more (family 'odd': " in first
    assert second.startswith("place 2, ")
    assert second.endswith("; going on with 1 of 2 places")
    with (
        pytest.raises(WorkerError, match=rf"^family 'odd': \S+ \(.*\) {how}; it cannot run ") as caught,
        opened("fine", prefix),
    ):
        pass
    assert str(caught.value).endswith("; fix launch or python in [families.odd] of vlmprobe.toml")


@pytest.mark.usefixtures("plugins")
def test_a_program_that_fails_the_first_time_is_tried_again(
    items: list[BatchItem], tmp_path: Path, script: Callable[..., list[str]]
) -> None:
    """With the same prefix; one place is enough."""
    flaky = script(f'mkdir "{tmp_path}/tried" 2>/dev/null && exit 255\nexec "$@"')
    with opened("fine", flaky) as pool:
        assert pool.model.run_batch(items).pair_ids == tuple(item.pair_id for item in items)
    (line,) = pool.lines
    assert "did not start; trying once more" in line


@pytest.mark.usefixtures("plugins")
def test_a_place_that_hangs_holds_up_none_and_ends_with_the_pool(
    items: list[BatchItem],
    tmp_path: Path,
    script: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Any,
) -> None:
    """Neither what is asked meanwhile nor the end; what was started for it is not left behind."""
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.3)
    hanging = script(f'echo $$ > "{tmp_path}/pid"\nsleep 600; exit')
    with opened("fine", hanging, ENV) as pool:
        assert pool.model.run_batch(items).pair_ids == tuple(item.pair_id for item in items)
        wait_until(lambda: (tmp_path / "pid").read_text().strip())
        pid = int((tmp_path / "pid").read_text())
        wait_until(lambda: _children(pid))
        hung = [pid, *_children(pid)]
        assert pool.workers[0].model is None
    wait_until(lambda: not any(map(_is_there, hung)))


@pytest.mark.usefixtures("plugins")
def test_a_place_without_a_greeting_is_given_up_after_a_time(
    items: list[BatchItem], monkeypatch: pytest.MonkeyPatch, wait_until: Any
) -> None:
    """A host that does not answer: tried twice."""
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.3)
    monkeypatch.setattr(worker_process, "_FAR_GREETING_S", 1.0)
    with opened("fine", PARENT, ["sh", "-c", "sleep 600", "sh"]) as pool:
        pool.model.run_batch(items)
        wait_until(lambda: len(pool.lines) == 2)
    assert all("printed nothing for 1 s; it cannot run this family's models" in line for line in pool.lines)


@pytest.mark.usefixtures("plugins")
def test_which_place_resolves_the_options_does_not_hang_on_one(
    tmp_path: Path, script: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's answer counts, unless it does not come; if none comes, the first one's error."""
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.3)
    monkeypatch.setattr("vlmprobe.families.kept_workers._PREFERRED_S", 0.1)
    options = LoadOptions("x", device="cpu", dtype="float32")
    broken = ["sh", "-c", "exit 255", "sh"]
    for prefixes in ([script("sleep 600"), ENV], [broken, ENV], [ENV, broken]):
        with KeptWorkers() as workers:
            family = KeptFamily("odd", Environment(sys.executable, launch=named(prefixes)), workers)
            assert family.resolve(options) == options
    other = ["sh", "-c", "exit 9", "other"]
    with KeptWorkers() as workers:
        family = KeptFamily("odd", Environment(sys.executable, launch=named([broken, other])), workers)
        with pytest.raises(WorkerError, match=r"\(place 1, exit 255\) ended with exit code 255"):
            family.resolve(options)


@pytest.mark.usefixtures("plugins")
def test_a_path_with_blanks_and_quotes_gets_through_a_shell(
    tmp_path: Path,
    script: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    items: list[BatchItem],
) -> None:
    """A stand-in for ssh: it joins its words with blanks for a shell to take apart again, ``sh -c "$*"``.

    There is no server here that the real one could reach. It is a file of that name, by which it is known.
    """
    stand_in = tmp_path / "ssh"
    stand_in.write_text('#!/bin/sh\nshift\nexec sh -c "$*"\n')
    stand_in.chmod(0o755)
    odd_folder = tmp_path / 'it\'s a "folder" of $HOME; really'
    odd_folder.mkdir()
    python = odd_folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (odd_folder / "worker").symlink_to(worker_process._BOOTSTRAP.parent)
    monkeypatch.setattr(worker_process, "_BOOTSTRAP", odd_folder / "worker" / "bootstrap.py")

    more = {"python": str(python), "pythonpath": (str(odd_folder),)}
    with opened("fine", [str(stand_in), "n1"], **more) as pool:
        assert pool.model.run_batch(items).pair_ids == tuple(item.pair_id for item in items)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("does", ["hang", "stop"])
def test_a_worker_behind_a_shell_that_does_not_answer_is_ended(
    does: str, items: list[BatchItem], monkeypatch: pytest.MonkeyPatch, wait_until: Any
) -> None:
    """The signal goes to the program's whole group, also where the worker does not read its input any more."""
    monkeypatch.setattr(worker_process, "_GRACE_S", 0.3)
    launch = named([PARENT])
    family = RemoteFamily("odd", Environment(sys.executable, timeout=PATIENCE_S, launch=launch))
    model = family.load(LoadOptions("hang"))
    shell = family._worker._process
    assert shell is not None
    (worker,) = _children(shell.pid)
    if does == "stop":
        os.kill(worker, signal.SIGSTOP)
    family._worker._environment = Environment(sys.executable, timeout=1.0, launch=launch)
    with pytest.raises(WorkerError, match=r"did not answer for 1 s and was killed"):
        model.run_batch(items)
    wait_until(lambda: not _is_there(shell.pid) and not _is_there(worker))


@pytest.mark.usefixtures("plugins")
def test_closing_ends_a_worker_behind_a_shell_in_mid_batch(items: list[BatchItem], wait_until: Any) -> None:
    """Its input ends, and it with it: no signal is needed, which ssh would not pass on."""
    family = RemoteFamily("odd", Environment(sys.executable, timeout=PATIENCE_S, launch=named([PARENT])))
    model = family.load(LoadOptions("hang"))
    shell = family._worker._process
    assert shell is not None
    (worker,) = _children(shell.pid)
    promised = model.submit(items)
    family.close()
    assert shell.returncode == 0
    assert not _is_there(worker)
    with pytest.raises(WorkerError, match="was stopped while running a batch"):
        promised.result(PATIENCE_S)


@pytest.mark.full
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_behind_a_shell_ends_with_its_parent(stop: signal.Signals, wait_until: Any) -> None:
    """Killed without a word: the pipe's end is all that the worker hears of it."""
    code = (
        "import sys; from vlmprobe.families import Environment, LoadOptions, open_family\n"
        "from vlmprobe.families.launch import named\n"
        f"family = open_family('tiny', Environment(sys.executable, launch=named([{PARENT!r}])))\n"
        "family.resolve(LoadOptions('x')); print(family._worker._process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    shell = int(parent.stdout.readline())
    (worker,) = _children(shell)
    parent.send_signal(stop)
    parent.wait()
    wait_until(lambda: not _is_there(shell) and not _is_there(worker))
