"""One Slurm job array a submission, and a job that compares when the array has ended.

The scripts are our own text and small enough to read: a site's rules can be met with ``--sbatch``, or by hand. An array
task runs the unit of its index. A node that fails, or a job that is preempted, is requeued by Slurm; the unit resumes.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from vlmprobe.cluster.engines.base import Submitted, shell_line, vlmprobe
from vlmprobe.errors import VlmprobeError, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from vlmprobe.cluster.engines.base import EngineOptions, Submission
    from vlmprobe.workspace import Console

__all__ = ["Slurm", "cancel_jobs"]

_ARRAY = """#!/bin/bash
#SBATCH --job-name=vlmprobe-{name}
#SBATCH --array={numbers}
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={units_log}
{options}
# The unit itself gets SIGTERM, writes what is done, and is resumed wherever it is begun again.
cd {directory} && exec {unit} "$SLURM_ARRAY_TASK_ID"{home}
"""
_FINISH = """#!/bin/bash
#SBATCH --job-name=vlmprobe-{name}-report
#SBATCH --ntasks=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={report_log}
{options}
cd {directory} && {commands}
"""


class Slurm:
    """Submits with ``sbatch``."""

    name = "slurm"
    needs_shared_database = True

    def __init__(self, options: EngineOptions) -> None:
        """Store the options; nothing is submitted yet."""
        self._options = options

    def submit(self, submission: Submission, console: Console) -> Submitted:
        """Submit the array and the job that depends on it; with ``only_print`` show both scripts.

        Raises:
            VlmprobeError: there is no sbatch here, or it refused.
        """
        array, finish = self.scripts(submission)
        if self._options.only_print:
            return Submitted(
                (array, finish),
                said=(
                    "nothing was submitted; these scripts show what --engine slurm would, and belong to no submission",
                ),
            )
        submission.folder.mkdir(parents=True, exist_ok=True)
        files = {"units.sbatch": array, "report.sbatch": finish}
        for name, text in files.items():
            (submission.folder / name).write_text(text, encoding="utf-8")
        job = _sbatch(submission.folder / "units.sbatch")
        try:
            report = _sbatch(submission.folder / "report.sbatch", f"--dependency=afterany:{job}")
        except BaseException:
            # Nobody would know of it.
            if (refused := cancel_jobs(submission.name, job)) is not None:
                console.warn(f"Slurm job {job} may go on without a report: {refused}")
            raise
        if self._options.gpus_per_unit is None:
            console.say("no GPU is asked for; --gpus-per-unit 1 asks for one a unit")
        console.say(f"Slurm job {job}, then {report} for the report; logs and scripts in {submission.folder}")
        return Submitted((submission.name,), job=job)

    def scripts(self, submission: Submission) -> tuple[str, str]:
        """Return the script of the array and that of the comparison."""
        # In one line, since an option and its value may be two words.
        own = [f"#SBATCH {shell_line(self._options.sbatch)}"] if self._options.sbatch else []
        gpus = self._options.gpus_per_unit
        of_gpus = [f"#SBATCH --gres=gpu:{gpus}"] if gpus else []
        common = {
            "name": submission.name,
            # sbatch reads quotes as a shell does.
            "units_log": shlex.quote(f"{submission.folder}/unit-%a.log"),
            "report_log": shlex.quote(f"{submission.folder}/report.log"),
            "directory": shlex.quote(str(submission.directory)),
        }
        first, last = submission.units[0].number, submission.units[-1].number
        numbers = [unit.number for unit in submission.units]
        is_range = numbers == list(range(first, last + 1))
        array = _ARRAY.format(
            numbers=f"{first}-{last}" if is_range and first != last else ",".join(map(str, numbers)),
            unit=shell_line(vlmprobe("unit", submission.name)),
            home="".join(f" {shlex.quote(each)}" for each in submission.home),
            options="\n".join([*of_gpus, *own]),
            **common,
        )
        finish = _FINISH.format(
            commands=" && ".join(map(shell_line, submission.finishing)), options="\n".join(own), **common
        )
        return array, finish

    def log_of(self, submission: str, number: int, folder: Path) -> Path | None:  # noqa: ARG002 - the protocol's
        """Return the file that the array script names."""
        return folder / f"unit-{number}.log"


def cancel_jobs(submission: str, job: str) -> str | None:
    """Cancel the array of a submission and the job that waits for it, where Slurm is; elsewhere nothing is done.

    Returns:
        What scancel said if it did not do it; None if all is well.
    """
    if shutil.which("scancel") is None:
        return None
    refused = []
    for which in (job, f"--name=vlmprobe-{submission}-report"):
        done = subprocess.run(  # noqa: S603 - the site's own program
            ["scancel", which],  # noqa: S607 - wherever the site has it
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            refused.append(f"'scancel {which}': {first_line(done.stderr or done.stdout) or done.returncode}")
    return "; ".join(refused) or None


def _sbatch(script: Path, *options: str) -> str:
    """Submit a script; return the job's number.

    Raises:
        VlmprobeError: there is no sbatch here, or it refused.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the site's own program
            ["sbatch", "--parsable", *options, str(script)],  # noqa: S607 - wherever the site has it
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise VlmprobeError(
            "there is no sbatch here; run this on a login node of the cluster, or use --engine print"
        ) from None
    if done.returncode:
        raise VlmprobeError(f"sbatch refused {script}: {first_line(done.stderr or done.stdout)}")
    return done.stdout.strip().partition(";")[0]
