"""``deploy/plain.sh`` and the commands of docs/team.md, run: Postgres and MLflow as there, moto as the store.

Postgres asks for passwords here, and MLflow too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..faults.mlflow_server import free_port
from ..faults.s3_store import S3Store
from ..postgres_server import find_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..command_line import Ran, Shell

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(
    r"^```(?:sh)?\n(.*?)^```$", (ROOT / "docs" / "team.md").read_text(), re.MULTILINE | re.DOTALL
)
_OF_PEOPLE = {"ana": "a writer's password", "reader": "a reader's password"}


def _block(words: str) -> str:
    (found,) = [block for block in BLOCKS if words in block]
    return found


@dataclass
class Site:
    """A server that runs, and what a person on a host of its team does."""

    folder: Path
    settings: dict[str, str]
    shell: Shell
    started: subprocess.Popen[str] | None = None

    def here(self, text: str) -> str:
        """Return a block of the page for this server's name, folder and ports."""
        replaced = {
            "/srv/vlmprobe": str(self.folder),
            "team.lab:5432": f"127.0.0.1:{self.settings.get('POSTGRES_PORT')}",
            "team.lab:5000": f"127.0.0.1:{self.settings.get('MLFLOW_PORT')}",
            "team.lab": "127.0.0.1",
        }
        for there, here in replaced.items():
            text = text.replace(there, here)
        return re.sub("^vlmprobe ", f"{sys.executable} -m vlmprobe ", text, flags=re.MULTILINE)

    def run(
        self, block: str, person: Path, *, typed: str = "", **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a block of the page as a person with a home directory of their own."""
        return subprocess.run(
            ["bash", "-e", "-c", self.here(block)],
            cwd=person,
            env=self.environ(person, **environ),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )

    def environ(self, person: Path, **more: str) -> dict[str, str]:
        beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return self.shell.environ(HOME=str(person), PATH=beside, PYTHONPATH=str(ROOT), **more)

    def start(self) -> None:
        """Run plain.sh until it prints the two addresses."""
        self.started = subprocess.Popen(
            ["bash", "-c", f"exec {self.here(_block('deploy/plain.sh'))}"],
            cwd=ROOT,
            env=self.environ(self.folder),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.started.stdout is not None
        printed = [self.started.stdout.readline().strip() for _ in range(2)]
        logs = {path.name: path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log")}
        assert printed == [
            f"postgresql://owner@127.0.0.1:{self.settings['POSTGRES_PORT']}/study",
            f"http://127.0.0.1:{self.settings['MLFLOW_PORT']}",
        ], logs

    def stop(self) -> int:
        """Stop it as a person or a scheduler does; return the exit code."""
        if self.started is None:
            return 0
        self.started.send_signal(signal.SIGTERM)
        self.started.communicate(timeout=60)
        code, self.started = self.started.returncode, None
        return code


@pytest.fixture(scope="module")
def site(shell: Shell) -> Iterator[Site]:
    """Write settings with new-team.sh, for free ports and a store that is there already; start the server."""
    if find_programs() is None:
        pytest.skip("no Postgres is installed")
    # Not in pytest's own folder, which is closed to the user that Postgres runs as.
    above = Path(tempfile.mkdtemp(prefix="vlmprobe-team-"))
    above.chmod(0o755)
    store, made = S3Store(), Site(above / "srv", {}, shell)
    try:
        subprocess.run(["bash", "-e", "-c", made.here(_block("deploy/new-team.sh"))], cwd=ROOT, check=True)
        file = made.folder / "team.env"
        changed = {
            "POSTGRES_PORT": free_port(),
            "MLFLOW_PORT": free_port(),
            "S3_ENDPOINT": store.counter.address,
        }
        with file.open("a") as stream:
            stream.writelines(f"{name}={value}\n" for name, value in changed.items())
        made.settings = dict(line.split("=", 1) for line in file.read_text().splitlines())
        made.start()
        yield made
    finally:
        made.stop()
        store.close()
        shutil.rmtree(above, ignore_errors=True)


def _person(folder: Path, site: Site, **passwords: str) -> Path:
    """Make a home directory with ``.pgpass``."""
    folder.mkdir()
    lines = [
        f"127.0.0.1:{site.settings['POSTGRES_PORT']}:study:{name}:{word}\n"
        for name, word in passwords.items()
    ]
    (folder / ".pgpass").write_text("".join(lines))
    (folder / ".pgpass").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def ana(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let her in, as the page says; return her home directory on a host."""
    import psycopg

    folder = tmp_path_factory.mktemp("people")
    owner = _person(folder / "owner", site, owner=site.settings["OWNER_PASSWORD"])
    made = site.run(_block("vlmprobe db upgrade"), owner)
    assert made.returncode == 0, made.stderr
    assert "schema none -> " in made.stdout
    assert "role ana is new and has no password" in made.stderr
    with psycopg.connect(
        f"postgresql://owner@127.0.0.1:{site.settings['POSTGRES_PORT']}/study",
        password=site.settings["OWNER_PASSWORD"],
    ) as session:
        for name, word in _OF_PEOPLE.items():
            session.execute(f"ALTER ROLE {name} PASSWORD '{word.replace(chr(39), chr(39) * 2)}'".encode())

    block = _block("create_user").replace("=...", f"={site.settings['MLFLOW_ADMIN_PASSWORD']}")
    added = site.run(block, owner, typed="a password for MLflow\n")
    assert added.returncode == 0, added.stderr

    person = _person(folder / "ana", site, **_OF_PEOPLE)
    (person / ".mlflow").mkdir()
    (person / ".mlflow" / "credentials").write_text(
        _block("mlflow_tracking_username = ana").replace("PASSWORD", "a password for MLflow")
    )
    return person


@pytest.fixture
def as_ana(site: Site, ana: Path) -> Callable[..., Ran]:
    """Run commands on hosts where she is: a home of vlmprobe each, and her settings."""
    exports = re.findall(r"^export (\w+)=(\S+)$", site.here(_block("vlmprobe doctor")), re.MULTILINE)
    settings = site.environ(ana, **dict(exports))

    def run(host: str, *command: object) -> Ran:
        return site.shell(*command, "--home", ana / host, **settings)

    return run


def test_a_person_of_the_team_is_told_that_all_is_well(
    site: Site, ana: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the page says, with passwords in files alone; none of the server's is shown."""
    looked = site.run(_block("vlmprobe doctor").replace("doctor", "doctor --json"), ana)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    rows = json.loads(looked.stdout)
    state = {row["what"]: row["state"] for row in rows}
    assert {row["ok"] for row in rows} == {"yes"}
    assert state["rights"].startswith("writer: ")
    assert state["reader"].endswith(": may only read")
    assert "by signed addresses of " in state["artifacts"]
    secrets = [value for name, value in site.settings.items() if re.search("PASSWORD|SECRET|KEY", name)]
    for secret in (*secrets, *_OF_PEOPLE.values(), "a password for MLflow"):
        assert secret not in looked.stdout + looked.stderr
    with capsys.disabled():
        print("\n" + "\n".join(f"{row['what']}: {row['state']}" for row in rows))


def test_one_host_extracts_another_analyzes(
    as_ana: Callable[..., Ran], benchmark: Callable[..., Path]
) -> None:
    """A writer needs no right of the owner's; sql asks with the reader's."""
    extract = ("extract", "tiny", "--scale", "2m", "--data", benchmark(4), "--batch-size", 8)
    as_ana("n1", *extract).ok()
    as_ana("n1", "sync", "--prune").ok()
    as_ana("n2", "analyze").ok()
    as_ana("n2", "merge", "tiny").ok()
    asked = as_ana("n2", "sql", "SELECT count(*) AS n FROM metrics", "--json").ok()
    assert json.loads(asked.out)[0]["n"] > 0
    assert "VLMPROBE_READER_URL" not in asked.err
    as_ana("n1", "verify").ok()
    refused = as_ana("n1", "db", "grant-writer", "mallory")
    assert (refused.code, len(refused.errors)) == (2, 1)
    assert "ask its owner" in refused.err


def test_nobody_gets_in_without_a_password(site: Site, tmp_path: Path) -> None:
    """Not as the owner, not as the superuser, not with MLflow."""
    person = _person(tmp_path / "nobody", site)
    for user in ("owner", "postgres", "mlflow"):
        url = f"postgresql://{user}@127.0.0.1:{site.settings['POSTGRES_PORT']}/study"
        ran = site.shell("runs", "--home", tmp_path / "h", **site.environ(person, VLMPROBE_DATABASE_URL=url))
        assert ran.code == 2
        assert "no password supplied" in ran.err
    address = f"http://127.0.0.1:{site.settings['MLFLOW_PORT']}"
    looked = site.shell(
        "doctor", "--json", "--home", tmp_path / "h", **site.environ(person, MLFLOW_TRACKING_URI=address)
    )
    wrong: dict[str, Any] = {row["what"]: row["state"] for row in json.loads(looked.out) if row["ok"] == "NO"}
    assert list(wrong) == ["MLflow"]


def test_stopped_and_started_again_it_has_what_it_had(site: Site, as_ana: Callable[..., Ran]) -> None:
    """Also Postgres as it was: nothing is made a second time."""
    before = as_ana("n1", "runs", "--json").ok().out
    assert site.stop() == 143
    gone = as_ana("n1", "doctor", "--json")
    wrong = [row["what"] for row in json.loads(gone.out) if row["ok"] == "NO"]
    assert (gone.code, wrong) == (1, ["database", "reader", "MLflow"])
    site.start()
    assert as_ana("n1", "runs", "--json").ok().out == before
    as_ana("n1", "doctor").ok()
    as_ana("n1", "verify").ok()
