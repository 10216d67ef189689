"""A report of a study in which every text is an attack, opened in a real browser: nothing of it runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.full, pytest.mark.browser]

#: Marks the page if it is ever run, in the ways in which a page can be made to.
MARK = "document.documentElement.setAttribute('data-owned','yes')"
ATTACKS = (
    f"<script>{MARK}</script>",
    f'"><img src=x onerror="{MARK}">',
    f"'><svg onload={MARK.replace(' ', '')}>",
    f"</style></title></textarea><script>{MARK}</script><!--",
    f'<iframe srcdoc="<script>parent.{MARK}</script>"></iframe>',
    f"javascript:{MARK}",
    "{{ 7 * 7 }}{% raw %}",
)
#: What a file's name can hold of it: no slash.
NAME = f'"><img src=x onerror={MARK}>'


@pytest.fixture(scope="module")
def report(shell: Any, benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a benchmark whose name, objects, ids and categories are attacks; let the model's answers be attacks too."""
    folder = tmp_path_factory.mktemp("attacked")
    lines = benchmark(4).read_text().splitlines()
    header = lines[0].split("\t")
    rows = []
    for place, line in enumerate(lines[1:]):
        row = dict(zip(header, line.split("\t"), strict=True))
        attack = ATTACKS[place % len(ATTACKS)].replace('"', "'")
        row |= {"index": f"{attack}{place}", "question_id": attack, "C": f"{attack} a", "D": f"{attack} b"}
        if row["category"] in ("left", "right", "above", "below"):
            row["question"] = f"How are {attack} and {attack} too positioned in the image?"
        rows.append("\t".join(row[name] for name in header))
    bad = "\t".join("<script>" if name == "category" else "1" for name in header)
    data = folder / f"{NAME}.tsv"
    data.write_text("\n".join([lines[0], *rows, bad]) + "\n")
    home = folder / "home"
    shell("run", "tiny", "--scale", "2m", "--data", data, "--home", home).ok()
    with duckdb.connect(str(home / "vlmprobe.duckdb")) as connection:
        connection.execute("UPDATE predictions SET text = $1", [ATTACKS[0]])
        connection.execute("UPDATE runs SET checkpoint = $1, device = $2", [ATTACKS[1], ATTACKS[2]])
        connection.execute("UPDATE swap_pairs SET subject = $1, reference = $2", [ATTACKS[3], ATTACKS[4]])
    shell("merge", "tiny", "--home", home, "--out", folder / "report").ok()
    return folder / "report" / "report.html"


def _opened(page: Path, profile: Path) -> str:
    """Return the page as the browser has it after running what there is to run."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    quiet = ("--disable-background-networking", "--disable-sync", "--no-first-run", "--disable-gpu")
    command = [chromium, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={profile}", "--dump-dom"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=5000", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return done.stdout


def test_the_browser_runs_an_attack_where_nothing_stops_it(tmp_path: Path) -> None:
    """Else the next test would prove nothing."""
    page = tmp_path / "attack.html"
    page.write_text(f"<html><body>{ATTACKS[0]}{ATTACKS[1]}</body></html>")
    assert 'data-owned="yes"' in _opened(page, tmp_path / "profile")


@pytest.mark.parametrize("policy", ["with its policy", "without it"])
def test_nothing_in_a_report_runs(report: Path, tmp_path: Path, policy: str) -> None:
    """Neither under the page's own policy, which forbids scripts, nor where a browser does not know that."""
    page = tmp_path / "report.html"
    text = report.read_text()
    assert "Content-Security-Policy" in text
    if policy == "without it":
        text = re.sub(r"<meta[^>]*Content-Security-Policy[^>]*>", "", text)
        assert "Content-Security-Policy" not in text
    page.write_text(text)
    opened = _opened(page, tmp_path / "profile")
    assert "data-owned" not in re.sub(r">[^<]*<", "><", opened).split("<body", 1)[0]
    assert not re.search(r"<(script|iframe|svg|object|embed)\b", opened)
    assert not re.search(r"<[^>]*\son\w+=", re.sub(r'="[^"]*"', '=""', opened))
    assert "onerror=" in opened, "the attacks are on the page, as text"
