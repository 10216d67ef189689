"""``vlmprobe ui`` opens at charts that compare the scales."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.full, pytest.mark.browser]

SCALES = ("vanilla", "80k", "400k", "800k", "2m")


@pytest.fixture(scope="module")
def address(
    shell: Any, benchmark: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run all five scales, serve their store, and return the address that is printed."""
    home = tmp_path_factory.mktemp("five")
    shell("run", "tiny", "--data", benchmark(8), "--home", home).ok()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = shell.start("ui", "--port", port, "--home", home)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        assert shell.finish(process).code in {0, 130}


def _browse(address: str, folder: Path, *more: str) -> str:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on the PATH")
    quiet = ("--disable-background-networking", "--disable-sync", "--no-first-run", "--disable-gpu")
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        *quiet,
        f"--user-data-dir={folder}",
        "--virtual-time-budget=40000",
        "--window-size=1600,1400",
        *more,
        address,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    return done.stdout


def test_the_layer_curves_of_five_scales_are_shown(address: str, tmp_path: Path) -> None:
    """Without a click, and before any other section: a chart for each axis's coherence, five curves over layers."""
    assert address.startswith("http://127.0.0.1:")
    page = _browse(address, tmp_path / "profile", "--dump-dom")
    (tmp_path / "page.html").write_text(page)
    _browse(address, tmp_path / "profile2", f"--screenshot={tmp_path / 'page.png'}")
    texts = [text.strip() for text in re.sub(r"<[^>]+>", "\n", page).splitlines()]
    for axis in ("horizontal", "vertical", "distance"):
        chart = f"layer/axis_coherence.{axis}"
        start = texts.index(chart)
        assert start < texts.index("layer_both_correct")
        # A bar chart has no steps.
        assert "Step" in texts[start : texts.index(f"tiny @ 2m ({chart})")]
        for scale in SCALES:
            assert f"tiny @ {scale}" in texts
            assert f"tiny @ {scale} ({chart})" in texts
