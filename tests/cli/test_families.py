"""``vlmprobe families``, and what a family's or a scale's settings can get wrong, as the command line tells it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLUMNS = ["family", "scale", "checkpoint", "processor", "samples_seen", "global_steps"]

#: A vlmprobe.toml, what is typed, what the line says.
WRONG = {
    "family": (
        "",
        "extract nope --scale 2m",
        "unknown family 'nope'; known: auto, molmo, nvila, qwen25, tiny",
    ),
    "scale": (
        "",
        "extract nvila --scale 3m",
        "unknown scale '3m' of family 'nvila'; known: vanilla, 80k, 400k, 800k, 2m, roborefer; ",
    ),
    "scale without a name": (
        "",
        ["extract", "tiny", "--scale", "", "--checkpoint", "."],
        "scale '' cannot be part of a file name",
    ),
    "scale without a checkpoint": (
        "",
        "extract molmo --scale 80k",
        "no checkpoint is known for scale '80k' of family 'molmo'; pass --checkpoint DIR_OR_ID to ",
    ),
    "scale without a checkpoint, in a study": (
        "",
        "run molmo --scale 80k",
        "or set checkpoint in [families.molmo.scales.80k] of vlmprobe.toml",
    ),
    "no scale at all": ("", "run auto", "family 'auto' has no scale with a checkpoint; set one in "),
    "folder without weights": ("", "extract auto --scale x --checkpoint .", "no weights in this folder"),
    "key": (
        "[families.nvila]\npyhton = '/env/bin/python'\n",
        "extract tiny --scale 2m",
        "vlmprobe.toml: unknown key 'pyhton' in [families.nvila]; known: architecture, ",
    ),
    "trust in the file": (
        "[families.tiny]\ntrust_remote_code = true\n",
        "extract tiny --scale 2m",
        "unknown key 'trust_remote_code' in [families.tiny]",
    ),
    "python that is not there": (
        "[families.tiny]\npython = 'envs/none/bin/python'\n",
        "extract tiny --scale 2m",
        "envs/none/bin/python; correct it in vlmprobe.toml",
    ),
    "python that is not there, in a study": (
        "[families.tiny]\npython = 'envs/none/bin/python'\n",
        "run tiny --scale 2m",
        "family 'tiny': there is no Python at ",
    ),
    "program that is not here": (
        "[families.tiny]\nlaunch = [['no-such-srun', '-N1']]\n",
        "extract tiny --scale 2m",
        "family 'tiny': launch: there is no program 'no-such-srun' here; correct it in vlmprobe.toml",
    ),
    "launch that is no list": (
        "[families.tiny]\nlaunch = 'srun'\n",
        "extract tiny --scale 2m",
        "vlmprobe.toml: launch in [families.tiny] must be a list of strings, not 'srun'",
    ),
    "python that cannot be started": (
        "[families.tiny]\npython = 'vlmprobe.toml'\n",
        "extract tiny --scale 2m",
        "vlmprobe.toml is not executable; correct it in vlmprobe.toml",
    ),
}


@pytest.fixture
def here(vlmprobe: Any, tmp_path: Path) -> Any:
    """Run commands in a folder of one's own, where a vlmprobe.toml may lie."""
    return type(vlmprobe)(tmp_path)


def test_every_scale_is_a_row(here: Any) -> None:
    """JSON and CSV hold the same rows: a scale each, with what its family needs and where it runs."""
    rows = json.loads(here("families", "--json").ok().out)
    as_csv = list(csv.DictReader(io.StringIO(here("families", "--csv").ok().out)))

    assert list(rows[0]) == [*COLUMNS, "architecture", "needs", "runs_in", "state"]
    assert [list(row) for row in as_csv] == [list(row) for row in rows]
    assert [list(row.values())[:6] for row in rows if row["family"] in {"auto", "molmo"}] == [
        ["auto", None, None, None, None, None],
        ["molmo", "vanilla", "allenai/Molmo-7B-O-0924", None, 0, 0],
        ["molmo", "80k", None, None, 80_000, 1_250],
        ["molmo", "400k", None, None, 400_000, 6_250],
        ["molmo", "800k", None, None, 800_000, 12_500],
        ["molmo", "2m", None, None, 2_000_000, 31_250],
    ]
    (tiny, *_) = (row for row in rows if row["family"] == "tiny")
    assert (tiny["checkpoint"], tiny["runs_in"], tiny["state"]) == ("bundled:vanilla", "this Python", "ready")


def test_the_table_says_where_a_checkpoint_must_be_given(here: Any) -> None:
    """For people: scales first, then what the families need."""
    lines = [line.split() for line in here("families").ok().out.splitlines()]
    assert ["molmo", "80k", "(pass", "--checkpoint)", "-", "80000", "1250"] in lines
    assert ["family", "architecture", "needs", "runs_in", "state"] in lines


def test_a_users_file_is_part_of_the_list(here: Any, tmp_path: Path) -> None:
    """Its families, scales and environments; a Python that is not there is no error of this command."""
    (tmp_path / "vlmprobe.toml").write_text(
        '[families.mine]\narchitecture = "auto"\npackages = ["torch", "no_such_package"]\n'
        '[families.mine.scales.base]\ncheckpoint = "me/mine"\nsamples_seen = 5\n'
        f'[families.nvila]\npython = "{sys.executable}"\n[families.molmo]\npython = "none/python"\n'
        '[families.qwen25]\npython = "/there/python"\nlaunch = ["env"]\n'
    )
    rows = {row["family"]: row for row in json.loads(here("families", "--json").ok().out)}
    assert (rows["mine"]["scale"], rows["mine"]["checkpoint"]) == ("base", "me/mine")
    assert (rows["mine"]["architecture"], rows["mine"]["state"]) == ("auto", "missing: no_such_package")
    assert (rows["nvila"]["runs_in"], rows["nvila"]["state"]) == (sys.executable, "not checked")
    assert (rows["qwen25"]["runs_in"], rows["qwen25"]["state"]) == ("/there/python (env)", "not checked")
    assert rows["molmo"]["state"] == f"there is no Python at {tmp_path / 'none' / 'python'}"


def test_listing_loads_nothing_heavy() -> None:
    """Neither a model's packages nor NumPy."""
    code = (
        "import sys\n"
        "from vlmprobe.cli.main import main\n"
        "try:\n"
        "    main(['families', '--json'])\n"
        "finally:\n"
        "    print(*{'torch', 'transformers', 'numpy', 'duckdb', 'mlflow'} & set(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == []


@pytest.mark.parametrize("what", WRONG)
def test_a_mistake_is_one_line_and_exit_code_2(
    what: str, here: Any, benchmark: Callable[..., Path], mlflow_store: dict[str, str], tmp_path: Path
) -> None:
    """Nothing on stdout, one line on stderr, no traceback, no run."""
    text, typed, says = WRONG[what]
    (tmp_path / "vlmprobe.toml").write_text(text)

    words = typed.split() if isinstance(typed, str) else typed
    ran = here(*words, "--data", benchmark(2), "--home", "home", "--quiet", **mlflow_store)

    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1, ran.err
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert not (tmp_path / "home").exists()


def test_a_missing_package_is_one_line_that_says_how_to_get_it(
    inside: Any, benchmark: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command for pip."""
    from vlmprobe.families import load_family_class

    monkeypatch.setattr(load_family_class("tiny"), "requires", ("einops_not_here",))
    ran = type(inside)(tmp_path)("extract", "tiny", "--scale", "2m", "--data", benchmark(2), "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: family 'tiny' needs the package 'einops_not_here', which is not installed; "
        "run: pip install einops_not_here\n"
    )
