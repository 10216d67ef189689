"""Doctor: what a run needs is checked before it starts, one line each."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vlmprobe.families.machine import Gpu
from vlmprobe.store.revision import SCHEMA_REVISION
from vlmprobe.workflows import doctor
from vlmprobe.workflows.doctor import Finding, diagnose
from vlmprobe.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = Path(__file__).parents[1] / "databases" / "0002.duckdb.gz"


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave PyTorch out, whose import takes seconds."""
    monkeypatch.setattr(doctor, "find_gpus", list)


def _of(what: str, home: Path) -> list[Finding]:
    return [finding for finding in diagnose(Workspace.open(home)) if finding.what == what]


def test_a_new_home_is_well_and_nothing_is_made_there(inside: Any, tmp_path: Path) -> None:
    """Every part says what it found or will create; the exit code is 0."""
    ran = inside("doctor", "--json", "--home", tmp_path / "home").ok()
    rows = json.loads(ran.out)
    assert list(dict.fromkeys(row["what"] for row in rows)) == [
        "versions",
        "GPU",
        "home",
        "database",
        "MLflow",
        "families",
        "disk",
    ]
    assert {row["ok"] for row in rows} == {"yes"}
    assert not (tmp_path / "home").exists()


def _old_database(home: Path, _: pytest.MonkeyPatch) -> None:
    (home / "vlmprobe.duckdb").write_bytes(gzip.decompress(OLD.read_bytes()))


def _other_file(home: Path, _: pytest.MonkeyPatch) -> None:
    (home / "vlmprobe.duckdb").write_text("notes, and more than a header of them\n" * 400)


def _no_server(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def _full_disk(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**28}))


def _not_ours(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, who may write anywhere.
    monkeypatch.setattr("os.access", lambda *_: False)


def _no_torch(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PACKAGES", ("numpy", "no-such-torch"))


def _broken_torch(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(doctor, "find_gpus", fail)


@pytest.mark.parametrize(
    ("what", "spoil", "says"),
    [
        ("versions", _no_torch, "not installed; run: pip install no-such-torch"),
        ("GPU", _broken_torch, "ImportError: libcudart.so.13: cannot open shared object file"),
        ("home", _not_ours, "is not writable; use another folder with --home"),
        (
            "database",
            _old_database,
            f"has schema 0002, but this vlmprobe needs {SCHEMA_REVISION}; run 'vlmprobe db upgrade'",
        ),
        ("database", _other_file, "is not a DuckDB database; use another with --home"),
        ("MLflow", _no_server, "MLflow at http://127.0.0.1:1: "),
        ("disk", _full_disk, "0.2 GiB free; free some, or use another disk with --home"),
    ],
    ids=["package", "torch", "home", "old", "other", "server", "disk"],
)
def test_what_will_fail_says_so_and_what_to_do(
    what: str,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line each, and the other checks go on."""
    spoil(tmp_path, monkeypatch)
    found = diagnose(Workspace.open(tmp_path))
    (failed,) = [finding for finding in found if not finding.ok]
    assert failed.what == what
    assert says in failed.state
    assert "\n" not in failed.state
    assert found[-1].what == "disk"


def test_something_that_will_fail_is_exit_code_1(inside: Any, tmp_path: Path) -> None:
    """For scripts that start a night's runs."""
    _old_database(tmp_path, pytest.MonkeyPatch())
    ran = inside("doctor", "--home", tmp_path)
    assert ran.code == 1
    assert "NO" in ran.out


def test_gpus_come_with_their_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a GPU; PyTorch's own answer is a stand-in here."""
    monkeypatch.setattr(doctor, "find_gpus", lambda: [Gpu("H200", 100 * 2**30, 140 * 2**30)] * 2)
    assert _of("GPU", tmp_path) == [Finding("GPU", "H200: 100.0 of 140.0 GiB free")] * 2
