"""One Ray task a unit; this process waits for all of them.

A task runs the unit's command in a process of its own, on whatever node has room. Ray runs it elsewhere when a node is
lost. What a unit says goes to its log, and how far it is to the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vlmprobe.cluster.engines.base import Submitted, how_to_see
from vlmprobe.errors import UsageError, VlmprobeError, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmprobe.cluster.engines.base import EngineOptions, Submission
    from vlmprobe.workspace import Console

__all__ = ["Ray"]

#: How often a unit is begun again on another node.
_RETRIES = 3
#: How long a stopped unit may take to write what is done.
_GRACE_S = 60.0
_LOOK_S = 1.0
#: What a unit must know of this process: where database, home and MLflow are. A password belongs in the nodes' own
#: environment or in a file (PGPASSFILE): what travels here can be read in Ray's dashboard.
_TRAVELS = ("VLMPROBE_", "MLFLOW_", "PGPASSFILE", "PGSSL")
#: Endings of names whose values are secret.
_SECRETS = ("PASSWORD", "TOKEN", "SECRET", "KEY", "USERNAME")
#: Of these, what is a place on a machine: where a node says it itself, that counts.
_OF_NODE = ("VLMPROBE_HOME", "VLMPROBE_CACHE", "VLMPROBE_STORE_ROOT", "PGPASSFILE", "PGSSL")


class Ray:
    """Runs tasks on a Ray cluster."""

    name = "ray"
    needs_shared_database = True

    def __init__(self, options: EngineOptions) -> None:
        """Check that Ray is installed, and that what tasks are told is no secret; nothing is connected yet.

        Raises:
            UsageError: it is not, or an address holds a password.
        """
        try:
            import ray
        except ImportError:
            raise UsageError("--engine ray needs Ray; install it with: pip install 'vlmprobe[ray]'") from None
        self._ray: Any = ray
        self._options = options
        self._environment = _travelling(os.environ)

    def submit(self, submission: Submission, console: Console) -> Submitted:
        """Run all units and wait; return when all have ended.

        Raises:
            VlmprobeError: the cluster does not answer.
            KeyboardInterrupt: it was stopped; what units had finished is kept.
        """
        submission.folder.mkdir(parents=True, exist_ok=True)
        # What Ray prints of nodes that it lost is no result of ours.
        with redirect_stdout(sys.stderr):
            self._connect()
            # Before the wait: whoever looks from elsewhere needs the name.
            console.say(how_to_see(submission.name, len(submission.units)))
            try:
                return self._wait(submission, console)
            finally:
                self._ray.shutdown()

    def _connect(self) -> None:
        stop = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(
                address=self._options.address or "auto",
                log_to_driver=False,
                logging_level="error",
                ignore_reinit_error=True,
            )
        except Exception as error:  # whatever Ray raises
            where = self._options.address or "the address that Ray finds by itself"
            raise VlmprobeError(
                f"no Ray cluster answers at {where}: {first_line(error)}; start one with 'ray start --head', or "
                "name it with --address"
            ) from error
        # init() replaces our handler by one that ends this process before the units are told.
        signal.signal(signal.SIGTERM, stop)

    def _wait(self, submission: Submission, console: Console) -> Submitted:
        ray = self._ray
        task = ray.remote(num_cpus=1, num_gpus=self._options.gpus_per_unit or 0, max_retries=_RETRIES)(_run)
        tasks = {
            task.remote(
                submission.command_of(unit),
                str(submission.directory),
                str(self.log_of(submission.name, unit.number, submission.folder)),
                self._environment,
            ): unit
            for unit in submission.units
        }
        failed: list[str] = []
        left = list(tasks)
        with console.track("units", len(left)) as advance:
            try:
                while left:
                    ended, left = ray.wait(left, timeout=_LOOK_S)
                    for each in ended:
                        try:
                            code = ray.get(each)
                        except Exception as error:  # noqa: BLE001 - a node was lost too often, or whatever Ray raises
                            code = first_line(error)
                        if code != 0:
                            failed.append(f"{tasks[each].name} ({code})")
                        advance(1)
            except KeyboardInterrupt:
                for each in left:
                    # Its process gets an interrupt, and passes it on.
                    ray.cancel(each, force=False)
                ray.wait(left, num_returns=len(left), timeout=_GRACE_S)
                raise
        if not failed:
            return Submitted((), is_over=True)
        said = (
            f"{len(failed)} of {len(tasks)} units failed: {', '.join(failed)}; see 'vlmprobe status "
            f"{submission.name}' and the logs in {submission.folder}; run the same command again to go on"
        )
        return Submitted((), is_over=True, failed=said)

    def log_of(self, submission: str, number: int, folder: Path) -> Path | None:  # noqa: ARG002 - the protocol's
        """Return the file that the task writes, on the node that it runs on."""
        return folder / f"unit-{number}.log"


def _travelling(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a unit is told of this process's environment.

    Raises:
        UsageError: an address holds a password, which Ray's dashboard would show.
    """
    found = {
        name: value
        for name, value in environment.items()
        if name.startswith(_TRAVELS) and not name.endswith(_SECRETS)
    }
    for name, value in found.items():
        if "://" in value and (urlsplit(value).password or "password=" in value):
            raise UsageError(
                f"{name} holds a password, which Ray's dashboard would show; leave it out, and put it into "
                "~/.pgpass (or MLflow's ~/.mlflow/credentials) on the nodes"
            )
    return found


def _on_node(own: Mapping[str, str], travelled: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a unit: the node's, with what travelled but for the places that the node names."""
    return {
        **own,
        **{
            name: value
            for name, value in travelled.items()
            if name not in own or not name.startswith(_OF_NODE)
        },
    }


def _run(command: Sequence[str], directory: str, log: str, environment: Mapping[str, str]) -> int:
    """Run a unit on a node; return its exit code."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd=directory,
            env=_on_node(os.environ, environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
