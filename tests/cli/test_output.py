"""Results go to stdout, in a form that other programs read; everything else goes to stderr."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from ..command_line import PATIENCE_S

BY_AXIS = "select family, scale, axis, n, acc_both from accuracy order by 1, 2, 3"

#: Commands on a finished study, and the first column of what they print.
PRINTING = {
    "runs": (["runs", "--home", "{home}"], "run_id"),
    "sql": (["sql", BY_AXIS, "--home", "{home}"], "family"),
    "query": (["query", "accuracy/by_axis", "--home", "{home}"], "family"),
    "list of queries": (["query"], "query"),
    "db check": (["db", "check", "--home", "{home}"], "check"),
    "sync": (["sync", "--home", "{home}"], "family"),
}


@pytest.mark.parametrize("what", PRINTING)
def test_json_and_csv_hold_the_same_rows(
    what: str, study: Any, vlmprobe: Any, mlflow_store: dict[str, str]
) -> None:
    """All of stdout is one JSON list, or one CSV table, with the same columns and the same number of rows."""
    words, first = PRINTING[what]
    words = [word.format(home=study.home) for word in words]

    as_json = json.loads(vlmprobe(*words, "--json", **mlflow_store).ok().out)
    as_csv = list(csv.DictReader(io.StringIO(vlmprobe(*words, "--csv", **mlflow_store).ok().out)))

    assert as_json
    assert next(iter(as_json[0])) == first
    assert [list(row) for row in as_csv] == [list(row) for row in as_json]


def test_numbers_are_printed_in_full(study: Any, vlmprobe: Any, rows: Any) -> None:
    """Both forms give back the very floats that DuckDB holds."""
    stored = [value for *_, value in rows(study.home, BY_AXIS)]
    as_json = json.loads(vlmprobe("sql", BY_AXIS, "--json", "--home", study.home).ok().out)
    as_csv = csv.DictReader(io.StringIO(vlmprobe("sql", BY_AXIS, "--csv", "--home", study.home).ok().out))
    assert len(stored) == 8
    assert [row["acc_both"] for row in as_json] == stored
    assert [float(row["acc_both"]) for row in as_csv] == stored


def test_progress_goes_to_stderr(study: Any) -> None:
    """``run --json``: stdout is the comparison's JSON, stderr tells what happened."""
    table = json.loads(study.ran.out)
    assert {(row["scale"], row["axis"]) for row in table} >= {("vanilla", "horizontal"), ("2m", "overall")}
    assert "96 pairs from 96 rows (embspatial form)" in study.ran.err
    assert "report.html" in study.ran.err


def test_extract_prints_its_facts_as_json(study: Any, vlmprobe: Any, mlflow_store: dict[str, str]) -> None:
    """Run, counts and where the hidden states are."""
    command = ("extract", "tiny", "--scale", "2m", "--data", study.data, "--home", study.home, "--json")
    facts = json.loads(vlmprobe(*command, **mlflow_store).ok().out)
    assert (facts["status"], facts["pairs"], facts["reused"], facts["asked"]) == ("complete", 96, 96, 0)


def test_data_check_prints_row_problems(vlmprobe: Any, study: Any, tmp_path: Any) -> None:
    """A good file: an empty list, exit code 0. A row with a wrong category: its line, and exit code 1."""
    assert json.loads(vlmprobe("data", "check", study.data, "--json").ok().out) == []
    lines = study.data.read_text().splitlines()[:5]
    lines[3] = lines[3].replace("\tabove\t", "\tinside\t")
    (tmp_path / "one.tsv").write_text("\n".join(lines) + "\n")
    ran = vlmprobe("data", "check", tmp_path / "one.tsv", "--json")
    assert ran.code == 1
    assert [(row["line"], row["column"]) for row in json.loads(ran.out)] == [(4, "category")]


@pytest.mark.of_a_file  # beside a shared database there is a remark about MLflow
def test_quiet_says_nothing_that_went_well(study: Any, vlmprobe: Any, mlflow_store: dict[str, str]) -> None:
    """``--quiet``: no progress, no remark."""
    command = ("extract", "tiny", "--scale", "2m", "--data", study.data, "--home", study.home, "--quiet")
    ran = vlmprobe(*command, **mlflow_store).ok()
    assert (ran.out, ran.err) == ("", "")


def _python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_an_interrupt_in_the_middle_of_an_import_still_gives_our_exit_code(tmp_path: Any) -> None:
    """Where exec() was interrupted, as while a dataclass is made, ``python -m`` would end as if killed."""
    (tmp_path / "interrupted.py").write_text(
        "from vlmprobe.cli.main import _leave\n"
        "try: exec('raise KeyboardInterrupt')\n"
        "except KeyboardInterrupt: _leave(130)\n"
    )
    ran = subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, check=False)
    assert ran.returncode == 130


IN_A_CALLBACK = """
import os, signal, sys, time, weakref
import vlmprobe.__main__ as started
from vlmprobe.cli.main import _Interrupt

sys.unraisablehook = started._unraisable
stop = int(sys.argv[1])
signal.signal(signal.SIGTERM, _Interrupt())
if stop == signal.SIGTERM:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

class Thing:
    pass

thing = Thing()
reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), stop) or [None for _ in range(1000)])
try:
    del thing
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_counts_where_python_drops_exceptions(stop: signal.Signals) -> None:
    """In a callback an exception is printed and forgotten; SIGTERM counts also where Ctrl-C is ignored."""
    ran = _python(IN_A_CALLBACK, str(int(stop)))
    assert (ran.stdout, ran.stderr) == ("stopped\n", "")


IN_THE_BACKGROUND = """
import os, signal
from vlmprobe.cli import main as command_line

@command_line.app.command("in-the-background")
def work() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    print("goes on", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("is not reached")

command_line.main(["in-the-background"])
"""


def test_a_command_in_the_background_ignores_ctrl_c_and_ends_with_sigterm() -> None:
    """``nohup vlmprobe extract &`` starts it with Ctrl-C ignored: that is meant for what runs in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ran = _python(IN_THE_BACKGROUND)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ran.returncode, ran.stdout) == (130, "goes on\n")


def test_ctrl_c_before_the_command_line_is_loaded_is_a_stop() -> None:
    """The first tenths of a second are spent on imports: exit code 130 there, too, and no traceback."""
    code = (
        "import sys, types, vlmprobe.__main__ as started\n"
        "class Stopped(types.ModuleType):\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt\n"
        "sys.modules['vlmprobe.cli.main'] = Stopped('main')\n"
        "started.main()\n"
    )
    ran = _python(code)
    assert (ran.returncode, ran.stderr) == (130, "error: stopped before any work started\n")


STOPPED_BETWEEN = """
import sys, typer
from vlmprobe.cli import main as command_line

@command_line.app.command("stopped-between")
def stopped() -> None:
    raise KeyboardInterrupt

command_line.main(["stopped-between"])
"""


def test_a_stop_between_two_of_our_own_lines_says_so() -> None:
    """Typer ends a command that is stopped before its body had begun with 130 and no word."""
    ran = _python(STOPPED_BETWEEN)
    assert ran.returncode == 130
    assert ran.stderr.strip() == "error: stopped; finished work is kept; rerun the same command to resume"


BEFORE_A_COMMAND = """
import typer.main
from vlmprobe.__main__ import main

def stopped(app):
    raise KeyboardInterrupt

typer.main.get_command = stopped
main()
"""


def test_a_stop_while_the_commands_are_made_says_so() -> None:
    """Outside of any command, where typer does not look yet."""
    ran = _python(BEFORE_A_COMMAND)
    assert ran.returncode == 130
    assert ran.stderr == "error: stopped; finished work is kept; rerun the same command to resume\n"


STILL_WRITING = """
import atexit, sys, threading, time
from vlmprobe import __main__ as started
from vlmprobe.cli import main as command_line

@command_line.app.command("left-writing")
def left_writing() -> None:
    threading.Thread(target=time.sleep, args=(60,), name="vlmprobe-rows", daemon=True).start()
    raise command_line.typer.Exit(3)

atexit.register(print, "taken down in order")
sys.argv = ["vlmprobe", "left-writing"]
{main}
"""


@pytest.mark.parametrize(
    ("main", "said"),
    [
        ("started.main()", ""),
        ("command_line.main(['left-writing'])", "taken down in order\n"),
    ],
    ids=["as a program", "within another"],
)
def test_a_thread_that_still_writes_is_left_behind_by_the_program_alone(main: str, said: str) -> None:
    """The program ends at once; whoever runs a command within a process of their own keeps that process."""
    ran = _python(STILL_WRITING.format(main=main))
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, said, "")
