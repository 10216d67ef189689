"""A family in a process of another Python: the same numbers, and one line for whatever goes wrong there."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from vlmprobe.errors import MissingPackageError, ModelError, WorkerError
from vlmprobe.families import LoadOptions, OutOfMemoryError, open_family, worker_process
from vlmprobe.families.environments import Environment
from vlmprobe.families.worker.wire import protocol

from ..command_line import PATIENCE_S
from .conftest import CHECKPOINTS

HERE = Environment(sys.executable)


@pytest.fixture(scope="module")
def opened():
    """Open the tiny family in another process of the same Python, its checkpoint loaded."""
    family = open_family("tiny", HERE)
    with family.load(family.resolve(LoadOptions(str(CHECKPOINTS / "2m")))) as model:
        yield model


@pytest.fixture
def odd(plugins):
    """Load a plug-in that misbehaves as asked, from a package that vlmprobe's own Python has on its path."""
    families = []

    def load(does, name="odd"):
        family = open_family(name, Environment(sys.executable, timeout=PATIENCE_S))
        families.append(family)
        return family.load(LoadOptions(does))

    yield load
    for family in families:
        family.close()


def test_the_numbers_are_those_of_this_process_bit_for_bit(opened, items):
    """States, texts, margins and prompts; the same code and the same packages run."""
    family = open_family("tiny")
    local = family.load(family.resolve(LoadOptions(str(CHECKPOINTS / "2m"))))
    for ours, theirs in (
        (opened.run_batch(items), local.run_batch(items)),
        (opened.run_plain(items[:2]), local.run_plain(items[:2])),
    ):
        np.testing.assert_array_equal(ours.states, theirs.states)
        np.testing.assert_array_equal(ours.margins, theirs.margins)
        assert (ours.pair_ids, ours.texts, ours.dtype) == (theirs.pair_ids, theirs.texts, theirs.dtype)
    ours, theirs = (model.unembedding(["left", "right"]) for model in (opened, local))
    np.testing.assert_array_equal(ours.covariance, theirs.covariance)
    np.testing.assert_array_equal(ours.rows, theirs.rows)
    assert ours.spellings == theirs.spellings
    assert opened.first_prompt(items[0]) == local.first_prompt(items[0])


def test_the_manifest_says_where_it_ran(opened):
    """The versions are those of the other environment."""
    assert opened.info.manifest["own_environment"] is True
    assert opened.info.manifest["torch"]


def test_nothing_else_of_vlmprobe_is_there():
    """What is imported there beyond the worker's folder is not found: an environment need not have it."""
    bootstrap = str(Path(protocol.__file__).parents[1] / "bootstrap.py")
    script = (
        f"import runpy; runpy.run_path({bootstrap!r}, run_name='boot')['_make_importable']()\n"
        "import vlmprobe.families.worker\n"
        "try:\n    import vlmprobe.errors\nexcept ModuleNotFoundError:\n    print('alone')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "alone"


def test_what_a_library_prints_does_not_break_the_protocol(odd, items):
    """Standard output is not the pipe of the answers; images arrive with their size, as RGB."""
    output = odd("fine").run_batch(items[:2])
    assert output.texts == (("(140, 140)", "RGB"), ("(84, 196)", "RGB"))
    assert output.states.shape == (1, 2, 2, 2)


def test_a_worker_that_dies_is_one_line_with_its_last_words(odd, items):
    """What it was doing, how it ended, what to do."""
    with pytest.raises(WorkerError) as caught:
        odd("die").run_batch(items)
    assert "ended with exit code 9 while running a batch; its last output: Segmentation fault, or so" in str(
        caught.value
    )
    assert str(caught.value).endswith("rerun the same command to resume")


@pytest.mark.full
def test_a_worker_that_is_killed_is_one_line(opened, items):
    """Whoever kills it; the memory's guard is the likely one."""
    family = open_family("tiny", HERE)
    model = family.load(family.resolve(LoadOptions(str(CHECKPOINTS / "vanilla"))))
    os.kill(model._worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"was killed by SIGKILL \(perhaps out of memory\)"):
        model.run_batch(items)


@pytest.mark.full
def test_a_worker_that_hangs_is_ended(odd, items):
    """After the time that the user's file gives it."""
    model = odd("hang")
    # It was loaded with another time limit: how long that takes depends on what else the machine does.
    model._worker._environment = Environment(sys.executable, timeout=1.0)
    process = model._worker._process
    with pytest.raises(
        WorkerError, match=r"did not answer for 1 s and was killed \(timeout of \[families.odd\]\)"
    ):
        model.run_batch(items)
    assert process.poll() is not None


@pytest.mark.full
def test_faults_keep_their_kind(odd, items):
    """A full device asks for a smaller batch, a bad checkpoint is the user's, the rest fails its pairs."""
    with pytest.raises(OutOfMemoryError, match="too many"):
        odd("full").run_batch(items)
    with pytest.raises(RuntimeError, match="RuntimeError: shapes do not match"):
        odd("raise").run_batch(items)
    with pytest.raises(ModelError, match="broken: this is no checkpoint"):
        odd("broken")


def test_frameworks_that_are_not_used_are_not_imported(odd, items, monkeypatch):
    """A transformers before 5 imports a JAX or TensorFlow that it finds, broken or not; who wants that says so."""
    monkeypatch.delenv("USE_FLAX", raising=False)
    monkeypatch.setenv("USE_TF", "1")
    with pytest.raises(RuntimeError, match="USE_TF=1 USE_FLAX=0"):
        odd("environment").run_batch(items)


def test_a_missing_package_names_the_environments_own_pip(odd):
    """Not this Python's."""
    with pytest.raises(MissingPackageError) as caught:
        odd("fine", name="lacking")
    assert f"run: {sys.executable} -m pip install a_package_of_nobody" in str(caught.value)


@pytest.mark.parametrize(("package", "install"), [("tokenizers", "tokenizers"), ("PIL", "pillow")])
def test_a_package_that_transformers_misses_is_the_one_that_is_named(package, install):
    """Transformers imports late and says something else: neither it nor the family's code is to be reinstalled."""
    bootstrap = str(Path(protocol.__file__).parents[1] / "bootstrap.py")
    script = (
        f"import runpy; runpy.run_path({bootstrap!r}, run_name='boot')['_make_importable']()\n"
        "import sys; sys.modules[sys.argv[1]] = None\n"
        "from vlmprobe.families.worker.wire.family_code import load_code\n"
        "try:\n    load_code('vlmprobe.families.worker.qwen:Qwen25')\n"
        "except Exception as fault:\n    print(fault.kind, fault)"
    )
    done = subprocess.run([sys.executable, "-c", script, package], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        f"package the environment of {sys.executable} lacks the package {package!r}; "
        f"run: {sys.executable} -m pip install {install}"
    )


def test_a_transformers_that_is_too_old_is_one_line(odd):
    """Which version is there, which one is needed, and how to get it."""
    with pytest.raises(MissingPackageError) as caught:
        odd("fine", name="modern")
    assert str(caught.value) == (
        f"transformers {version('transformers')} in {sys.executable} is too old; "
        "this family needs 99.0 or newer; "
        f"run: {sys.executable} -m pip install 'transformers>=99.0'"
    )


def test_code_that_cannot_be_imported_is_one_line(odd):
    """What Python said, and what is there."""
    with pytest.raises(MissingPackageError, match=r"^raising cannot be imported \(ImportError: ") as caught:
        odd("fine", name="raising")
    assert "no_such_function" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_python_that_cannot_be_started_is_one_line(tmp_path):
    """A file that is no program."""
    python = tmp_path / "python"
    python.write_text("no program")
    python.chmod(0o755)
    with pytest.raises(WorkerError, match=r"cannot start .*; fix python in \[families.tiny\]"):
        open_family("tiny", Environment(str(python))).resolve(LoadOptions("x"))


@pytest.mark.parametrize(
    ("program", "limits", "how"),
    [
        ("exit 3", {}, "ended with exit code 3"),
        ("echo no module named torch >&2; exit 1", {}, r"ended with exit code 1 \(no module named torch\)"),
        (
            "echo welcome to this machine, user; exec sleep 600",
            {"_GRACE_S": 0.5},
            "did not start as a worker process",
        ),
        ("exec sleep 600", {"_GREETING_S": 1.0}, "printed nothing"),
    ],
)
def test_a_program_that_is_no_worker_is_sent_nothing(tmp_path, program, limits, how, monkeypatch):
    """A shell, say, would run what it is sent. The user's file is to be corrected: starting again would not help."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    for name, seconds in limits.items():
        monkeypatch.setattr(worker_process, name, seconds)
    family = open_family("tiny", Environment(str(python)))
    with pytest.raises(WorkerError, match=rf"python {how}.*fix python in \[families.tiny\] of vlmprobe.toml"):
        family.resolve(LoadOptions("x"))
    family.close()


@pytest.mark.full
def test_a_worker_ends_with_its_parent(tmp_path, wait_until):
    """Also in the middle of a batch, and when the parent is killed without a word."""
    code = (
        "import sys; from vlmprobe.families import *; from vlmprobe.families.environments import Environment\n"
        "from vlmprobe.families import LoadOptions, open_family\n"
        "family = open_family('tiny', Environment(sys.executable)); family.resolve(LoadOptions('x'))\n"
        "print(family._worker._process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


@pytest.mark.parametrize(
    "data",
    [
        b"Traceback (most recent call last)",
        b"vlm",
        struct.pack(">4sBI", b"vlmp", 2, 2) + b"{}",
        struct.pack(">4sBI", b"vlmp", 1, 2**31),
        struct.pack(">4sBI", b"vlmp", 1, 40) + b"{}",
        struct.pack(">4sBI", b"vlmp", 1, 2) + b"[]",
        struct.pack(">4sBI", b"vlmp", 1, 13) + b'{"blobs":[-1]',
        struct.pack(">4sBI", b"vlmp", 1, 14) + b'{"blobs":[-1]}',
        struct.pack(">4sBI", b"vlmp", 1, 13) + b'{"blobs":[5]}' + b"four",
    ],
)
def test_a_stream_that_is_no_frame_is_told_from_its_end(data):
    """Nothing is guessed, and nothing large is waited for."""
    with pytest.raises(protocol.ProtocolError):
        protocol.receive(io.BytesIO(data))
    assert protocol.receive(io.BytesIO()) is None
