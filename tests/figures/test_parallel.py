"""Many figures at once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vlmprobe.errors import UsageError, VlmprobeError
from vlmprobe.figures import Job, draw_all, layer_curves, to_png

ROOT = Path(__file__).parents[2]
#: Far more than it takes, however busy the machine is.
PATIENCE_S = 120.0


@pytest.fixture
def jobs(tmp_path, curve):
    """Return eight small figures to draw, enough for two processes."""
    return [
        Job(
            layer_curves,
            {"curves": [curve("vertical", (0.1, n / 10))]},
            tmp_path / "deep" / f"{n}.png",
            dpi=40,
        )
        for n in range(8)
    ]


def test_two_processes_write_the_bytes_that_one_writes(jobs):
    """Folders are made, paths come back in the order of the jobs, each figure is counted."""
    counted = []
    paths = draw_all(jobs, processes=2, progress=counted.append)

    assert paths == [job.path for job in jobs]
    assert counted == [1] * 8
    here = [to_png(layer_curves(**job.arguments), dpi=40) for job in jobs]
    assert [path.read_bytes() for path in paths] == here
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [f"{n}.png" for n in range(8)]


def test_few_figures_are_drawn_here(jobs, monkeypatch):
    """Another process would take longer to start than to draw seven figures."""
    monkeypatch.setattr("vlmprobe.figures.parallel.ProcessPoolExecutor", None)

    assert len(draw_all(jobs[:7], processes=2)) == 7
    assert draw_all([]) == []


@pytest.mark.full
def test_a_figure_that_cannot_be_drawn_is_named(jobs, tmp_path):
    """In a process of its own, an error keeps its class and gains the file and the function."""
    broken = Job(layer_curves, {"curves": []}, tmp_path / "broken.svg", "svg")
    with pytest.raises(UsageError, match=r"broken\.svg \(layer_curves\): layer_curves: no curves to draw"):
        draw_all([broken, *jobs], processes=2)

    assert not broken.path.exists()


def test_a_surprise_while_drawing_is_one_line(tmp_path):
    """An argument that no figure has is an error of ours to show, not a traceback of Python's."""
    with pytest.raises(
        VlmprobeError, match=r"x\.png \(layer_curves\): the figure cannot be drawn: TypeError"
    ):
        draw_all([Job(layer_curves, {"colour": 1}, tmp_path / "x.png")])


def test_an_older_file_is_replaced_or_kept_whole(jobs, tmp_path):
    """A file that cannot be replaced stays as it was, and nothing half-written stays beside it."""
    jobs[0].path.parent.mkdir()
    jobs[0].path.write_bytes(b"old")
    draw_all(jobs[:1])
    assert jobs[0].path.read_bytes().startswith(b"\x89PNG")

    blocked = tmp_path / "folder.png"
    blocked.mkdir()
    with pytest.raises(VlmprobeError, match=r"folder\.png"):
        draw_all([Job(layer_curves, jobs[0].arguments, blocked)])
    assert list(tmp_path.glob(".*")) == []


def test_jobs_are_checked_before_anything_is_drawn(jobs, tmp_path):
    """A wrong format, or one file twice, is found at once."""
    with pytest.raises(UsageError, match="unknown figure format 'jpg'"):
        draw_all([Job(layer_curves, {}, tmp_path / "x.jpg", "jpg")])
    with pytest.raises(UsageError, match="two figures for one file"):
        draw_all([*jobs, jobs[0]])
    with pytest.raises(UsageError, match="at least one process, not 0"):
        draw_all(jobs, processes=0)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def drawing(tmp_path):
    """Start a program that draws 400 figures with two processes, in a process group of its own."""
    script = tmp_path / "draw.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from vlmprobe.analysis.results import LayerCurve\n"
        "from vlmprobe.figures import Job, draw_all, layer_curves\n"
        "if __name__ == '__main__':\n"
        "    values = (0.1,) * 6\n"
        "    curves = [LayerCurve('tiny', '2m', 9, 'm', 'far', 'all', tuple(range(6)), values, values, values, 4)]\n"
        "    def job(n):\n"
        "        return Job(layer_curves, {'curves': curves}, Path(sys.argv[1], f'{n}.png'), dpi=100 + n / 1000)\n"
        "    jobs = [job(n) for n in range(400)]\n"
        "    print('begun', flush=True)\n"
        "    try:\n"
        "        draw_all(jobs, processes=2, progress=lambda n: print(n, flush=True))\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
    )
    program = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "figures")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert program.stdout.readline() == "begun\n"
    yield program
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.communicate()


@pytest.mark.full
def test_a_script_without_a_main_guard_draws(tmp_path):
    """The processes do not run it again, as they would with everything else that starts them."""
    script = tmp_path / "draw.py"
    script.write_text(
        "from pathlib import Path\n"
        "from vlmprobe.analysis.results import LayerCurve\n"
        "from vlmprobe.figures import Job, draw_all, layer_curves\n"
        "print('once')\n"
        "two = (0.1, 0.2)\n"
        "curves = [LayerCurve('tiny', '2m', 9, 'm', 'far', 'all', (0, 1), two, two, two, 4)]\n"
        f"here = Path({str(tmp_path)!r})\n"
        "jobs = [Job(layer_curves, {'curves': curves}, here / f'{n}.png', dpi=100 + n) for n in range(8)]\n"
        "draw_all(jobs, processes=2)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "once\n", "")
    assert len(list(tmp_path.glob("*.png"))) == 8


def _n_children(process):
    return len(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())


@pytest.mark.parametrize(
    "when", [pytest.param("while the processes start", marks=pytest.mark.full), "while they draw"]
)
def test_ctrl_c_ends_all_processes_without_their_tracebacks(drawing, tmp_path, when, wait_until):
    """The whole group is interrupted, as by a terminal: the caller alone answers; no figure is half-written."""
    if when == "while they draw":
        assert drawing.stdout.readline() == "1\n"
    else:
        # The first child of all keeps count of what they share.
        wait_until(lambda: _n_children(drawing) >= 2, drawing)
    os.killpg(drawing.pid, signal.SIGINT)
    _, errors = drawing.communicate(timeout=PATIENCE_S)

    assert drawing.returncode == 130
    assert errors == ""
    figures = list((tmp_path / "figures").glob("*"))
    # Not all of them; how many depends on how long the signal waits for its turn on a busy machine.
    assert len(figures) < 400
    assert all(path.suffix == ".png" and path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in figures)


def test_no_process_outlives_the_one_that_asked(drawing):
    """Killed outright, the program leaves nobody behind that waits for the next figure."""
    assert drawing.stdout.readline() == "1\n"
    os.kill(drawing.pid, signal.SIGKILL)

    # The pipe ends when the last process that holds it does.
    drawing.communicate(timeout=PATIENCE_S)
    assert drawing.returncode == -signal.SIGKILL


@pytest.mark.parametrize("processes", [1, 2])
def test_figures_that_are_alike_are_drawn_once(jobs, tmp_path, monkeypatch, processes):
    """All files are there with the same bytes, and each counts."""
    copies = [
        Job(job.function, dict(job.arguments), tmp_path / f"copy-{n}.png", dpi=40)
        for n, job in enumerate(jobs)
    ]
    larger = Job(jobs[0].function, jobs[0].arguments, tmp_path / "larger.png", dpi=50)
    drawn, counted = [], []
    if processes == 1:
        monkeypatch.setattr(
            "vlmprobe.figures.parallel.encode",
            lambda figure, *_, **__: drawn.append(figure) or to_png(figure, dpi=40),
        )
    paths = draw_all([*jobs, *copies, larger], processes=processes, progress=counted.append)

    assert [path.read_bytes() for path in paths[8:16]] == [path.read_bytes() for path in paths[:8]]
    assert sum(counted) == 17
    if processes == 1:
        assert len(drawn) == 9
    else:
        assert larger.path.read_bytes() != jobs[0].path.read_bytes()
