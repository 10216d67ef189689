"""Whatever a command's output goes to, its work is done; only a listing that a full disk lost is a failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: Says something that few encodings have on both streams, works, and ends with a code of its own.
PROGRAM = """
import sys
from pathlib import Path
from vlmprobe.streams import prepare_streams
prepare_streams()
print("left \\u5de6 caf\\xe9 \\U0001f60a", file=sys.stderr, flush=True)
sys.stderr.write("x" * 100_000)
handle = open(sys.argv[1], "w")
assert handle.fileno() > 2, "a file got the number of a stream"
handle.write("done")
handle.close()
print("left \\u5de6 caf\\xe9 \\U0001f60a")
sys.exit(7)
"""


def _run(shell: str, done: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [
        "sh",
        "-c",
        shell.replace("PROGRAM", '"$0" -c "$1" "$2"'),
        sys.executable,
        PROGRAM,
        str(done),
    ]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, check=False, timeout=60)


@pytest.mark.parametrize(
    ("shell", "environment", "printed"),
    [
        ("PROGRAM", {"PYTHONIOENCODING": "utf-8"}, "left 左 café 😊".encode()),
        ("PROGRAM", {"PYTHONIOENCODING": "ascii"}, rb"left \u5de6 caf\xe9 \U0001f60a"),
        ("PROGRAM", {"PYTHONIOENCODING": "latin-1"}, b"left \\u5de6 caf\xe9 \\U0001f60a"),
        ("PROGRAM", {"PYTHONIOENCODING": "cp1252"}, b"left \\u5de6 caf\xe9 \\U0001f60a"),
        ("PROGRAM", {"PYTHONIOENCODING": "cp950"}, "left 左 caf".encode("cp950") + rb"\xe9 \U0001f60a"),
        ("PROGRAM", {"PYTHONIOENCODING": "ascii:strict"}, rb"left \u5de6 caf\xe9 \U0001f60a"),
        ("PROGRAM", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, rb"left \u5de6"),
        ("PROGRAM", {"LC_ALL": "POSIX"}, b"left "),
        ("PROGRAM 2>&-", {}, b"left "),
        ("PROGRAM >&-", {}, b""),
        ("PROGRAM >&- 2>&-", {}, b""),
        ("PROGRAM <&- >&- 2>&-", {}, b""),
        ("PROGRAM <&-", {}, b"left "),
        ("PROGRAM 2>/dev/full", {}, b"left "),
        ("{ PROGRAM 3>&2 2>&4; } 4>&1 >/dev/null", {}, b""),
        ("nohup PROGRAM", {}, b"left "),
        ("setsid -w PROGRAM </dev/null", {}, b"left "),
        ("PROGRAM >/dev/full", {}, b""),
        ("PROGRAM >/dev/full 2>/dev/full", {}, b""),
        ("PROGRAM", {"PYTHONUNBUFFERED": "1"}, b"left "),
        ("PROGRAM", {"PYTHONIOENCODING": "utf-16"}, "left 左".encode("utf-16")[2:]),
    ],
)
def test_streams_of_every_kind(
    shell: str, environment: dict[str, str], printed: bytes, tmp_path: Path
) -> None:
    """What cannot be written is escaped or dropped; the file is written, and the code is 7."""
    ran = _run(shell, tmp_path / "done", **environment)
    assert ran.returncode == 7, ran.stderr
    assert (tmp_path / "done").read_text() == "done"
    assert printed in ran.stdout


def test_a_reader_that_leaves_does_not_stop_the_work(tmp_path: Path) -> None:
    """As in ``vlmprobe extract ... 2>&1 | head -1``, where a night's run would end with the first line."""
    ran = _run("{ PROGRAM 2>&1 >/dev/null; echo code $? >&3; } 3>&2 | head -c 4", tmp_path / "done")
    assert ran.stdout == b"left"
    assert b"code 7" in ran.stderr
    assert (tmp_path / "done").read_text() == "done"


def test_a_pipe_that_does_not_block_gets_every_byte(tmp_path: Path) -> None:
    """Another program at the other end may have made it so; a full one is waited for."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    much = "from vlmprobe.streams import prepare_streams; prepare_streams(); print('x' * 300_000)"
    process = subprocess.Popen([sys.executable, "-c", much], stdout=writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        assert len(output.read()) == 300_001
    assert process.wait() == 0


@pytest.fixture(scope="module")
def runs_listed(inside: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what lists the runs of a home, as a process."""
    home = tmp_path_factory.mktemp("home")
    inside("db", "upgrade", "--home", home).ok()
    return [sys.executable, "-m", "vlmprobe", "runs", "--home", str(home)]


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("", 0, ""),  # a pipe whose reader has left
        pytest.param(">&-", 0, "", marks=pytest.mark.full),
        (
            ">/dev/full",
            1,
            "error: results could not be written to standard output (No space left on device); write them to another "
            "file or disk\n",
        ),
    ],
)
def test_a_listing_that_nobody_gets(redirection: str, code: int, said: str, runs_listed: list[str]) -> None:
    """A reader that has left, as ``head`` does, has what it wanted; on a full disk, what was asked for is not there."""
    reader, writer = os.pipe()
    os.close(reader)
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *runs_listed]
    ran = subprocess.run(shell, stdout=writer, stderr=subprocess.PIPE, check=False, text=True, timeout=60)
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (code, said)


def test_work_is_done_though_its_results_are_lost(
    inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command made is there, so that its exit code is 0; that its output is not is a note."""
    inside("db", "upgrade", "--home", tmp_path).ok()
    monkeypatch.setattr("vlmprobe.streams.lost_results", lambda: OSError(28, "No space left on device"))
    ran = inside("backup", tmp_path / "copy.duckdb", "--home", tmp_path).ok()
    assert ran.err == (
        "note: results could not be written to standard output (No space left on device); write them to another file "
        "or disk\n"
    )
    assert (tmp_path / "copy.duckdb").is_file()
    assert inside("runs", "--home", tmp_path).code == 1


@pytest.mark.full
def test_a_command_prints_what_its_terminal_lacks(inside: Any, tmp_path: Path) -> None:
    """In a table it is escaped; in JSON the escape is JSON's own."""
    inside("db", "upgrade", "--home", tmp_path).ok()
    ask = [sys.executable, "-m", "vlmprobe", "sql", "SELECT chr(24038) AS x", "--home", str(tmp_path)]
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii"}
    wide = subprocess.run(
        ask, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-16"}, check=True
    )
    assert "左".encode("utf-16")[2:] in wide.stdout
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    said = subprocess.run(
        [*ask[:4], "SELECT '左' AS x", *ask[5:]], capture_output=True, env=plain, check=True
    )
    assert rb"\u5de6" in said.stdout
    table = subprocess.run(ask, capture_output=True, env=ascii_only, check=True)
    assert rb"\u5de6" in table.stdout
    printed = subprocess.run([*ask, "--json"], capture_output=True, env=ascii_only, check=True)
    assert json.loads(printed.stdout) == [{"x": "左"}]
