"""The wheel is whole: installed elsewhere, it finds its queries, migrations and checkpoints in itself."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", folder, CHECKOUT]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_what_the_package_reads(wheel: Path) -> None:
    """Every query, migration, view and bundled checkpoint of the checkout is in it, and no test."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder in ("queries", "migrations"):
        files = [path for path in (CHECKOUT / folder).rglob("*") if path.suffix in {".sql", ".py"}]
        assert files
        assert {f"vlmprobe/_resources/{path.relative_to(CHECKOUT)}" for path in files} <= names
    assert {"vlmprobe/interop/published.csv", "vlmprobe/reports/findings.html.j2"} <= names
    checkpoints = (CHECKOUT / "vlmprobe" / "demo" / "checkpoints").rglob("*.*")
    assert {str(path.relative_to(CHECKOUT)) for path in checkpoints} <= names
    assert not [name for name in names if name.startswith("tests/")]


def test_an_installed_wheel_runs_the_demo(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment and far from the checkout ``vlmprobe demo --scales 2m`` gives its table."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    install = [python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(install, check=True)
    # Everything but vlmprobe itself comes from the environment of the tests.
    site = next(home.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environ: dict[str, Any] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VLMPROBE_", "MLFLOW_"))
    }
    where = subprocess.run(
        [python, "-c", "import vlmprobe; print(vlmprobe.__file__)"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(home)

    command = [home / "bin" / "vlmprobe", "demo", "--scales", "2m", "--csv", "--home", tmp_path / "home"]
    ran = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    table = list(csv.DictReader(ran.stdout.splitlines()))
    assert [(row["scale"], row["axis"]) for row in table] == [
        ("2m", axis) for axis in ("horizontal", "vertical", "distance", "overall")
    ]
    assert (tmp_path / "home" / "demo" / "report.html").is_file()
