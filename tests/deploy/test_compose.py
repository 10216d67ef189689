"""``deploy/compose.yaml``: pinned images, no password, and the same as ``deploy/plain.sh``, which other tests run."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
PLAIN = (DEPLOY / "plain.sh").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: What a person can reach of each service: the variable of its port, and the port in the container.
PORTS = {"postgres": ("POSTGRES_PORT", 5432), "s3": ("S3_PORT", 9000), "mlflow": ("MLFLOW_PORT", 5000)}
#: Options that plain.sh may have besides: TLS, and a store that is there already.
MORE = {"TLS_CERT", "TLS_KEY", "S3_ENDPOINT"}
#: In a container each server has an address and ports of its own.
OF_CONTAINERS = {"PGHOST", "PGPORT", "MLFLOW_PORT", "MLFLOW_STATE"}


def _section(name: str) -> str:
    """Return what plain.sh does for a service."""
    return PLAIN.partition(f"# --- {name}\n")[2].partition("# --- ")[0]


def _exported(text: str) -> dict[str, str]:
    """Return the variables that a part of plain.sh exports, and their values."""
    found = {}
    for line in re.findall(r"^ *export (.*)$", text, flags=re.MULTILINE):
        for word in line.split():
            name, is_set, value = word.partition("=")
            found[name] = value.strip('"') if is_set else f"${name}"
    return found


def _settings(value: str) -> set[str]:
    """Return the settings of team.env that a value of compose.yaml or plain.sh refers to."""
    return set(re.findall(r"\$\{?([A-Z][A-Z0-9_]*)", value)) - MORE


@pytest.fixture(scope="module")
def team_env(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let new-team.sh write settings."""
    folder = tmp_path_factory.mktemp("team") / "srv"
    subprocess.run([DEPLOY / "new-team.sh", folder, "team.lab"], check=True, capture_output=True)
    return folder / "team.env"


def _values(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())


def test_settings_are_new_secret_and_never_replaced(team_env: Path) -> None:
    """Each password is another one, the file is its owner's alone, and a second call refuses."""
    values = _values(team_env)
    secrets = [value for name, value in values.items() if re.search("PASSWORD|SECRET|KEY", name)]
    assert len(set(secrets)) == len(secrets) == 7
    assert all(len(secret) == 48 for secret in secrets)
    assert stat.S_IMODE(team_env.stat().st_mode) == 0o600
    again = subprocess.run(
        [DEPLOY / "new-team.sh", team_env.parent, "team.lab"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert _values(team_env) == values


def test_every_setting_is_used_and_every_one_used_is_there(team_env: Path) -> None:
    """compose.yaml demands each of its variables, so that none is empty unnoticed."""
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT))
    assert used == set(_values(team_env))
    assert set(re.findall(r"\$\{([A-Z0-9_]+)\}", TEXT)) == set()


def test_no_password_is_in_the_files() -> None:
    """Whatever may be secret is a variable."""
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|KEY", variable):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?\}", value), (name, variable)


def test_images_and_packages_are_pinned() -> None:
    """To a release: what is started tomorrow is what was started today. Packages are those that tests run with."""
    images = [service["image"] for service in SERVICES.values()]
    inline = SERVICES["mlflow"]["build"]["dockerfile_inline"]
    images += re.findall(r"^FROM (\S+)$", inline, flags=re.MULTILINE)
    assert len(images) == 4
    for image in images:
        assert re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?", image), image
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    packages = re.findall(r"'([a-z0-9-]+)(?:\[[a-z]+\])?==([^']+)'", inline)
    assert {name for name, _ in packages} == {"mlflow", "psycopg", "boto3"}
    for name, version in packages:
        assert f"{name}=={version}" in constraints
    assert SERVICES["mlflow"]["image"].endswith(f":{dict(packages)['mlflow']}")


def test_ports_are_those_of_the_plain_commands() -> None:
    """Each service listens on the port of its setting; what lies behind is the container's own."""
    for name, (setting, inner) in PORTS.items():
        assert SERVICES[name]["ports"] == [f"${{{setting}:?}}:{inner}"]
        assert f"${setting}" in _section(name)


def test_services_get_the_same_variables_by_either_way() -> None:
    """Of the same names, and made of the same settings."""
    for name, ours in SERVICES.items():
        plain = _exported(_section(name))
        # The image makes the superuser that initdb makes, with a password; psql is that user's either way.
        extra = {"POSTGRES_PASSWORD", "PGUSER"} if name == "postgres" else set()
        environment = {key: value for key, value in ours["environment"].items() if key not in extra}
        assert set(environment) - OF_CONTAINERS == set(plain) - OF_CONTAINERS - MORE, name
        for key in set(environment) - OF_CONTAINERS:
            if key == "MLFLOW_SERVER_ALLOWED_HOSTS":
                assert environment[key] == "${TEAM_HOST:?}:${MLFLOW_PORT:?},127.0.0.1:5000"
                assert plain[key] == "$TEAM_HOST:$MLFLOW_PORT,127.0.0.1:$MLFLOW_PORT"
            elif settings := _settings(environment[key]):
                assert _settings(plain[key]) == settings, key
            else:
                assert plain[key] == environment[key], key


def test_commands_are_the_same() -> None:
    """Both run one script for the databases and one for MLflow's server; the store's command is one line."""
    for service, script in (("postgres", "databases.sh"), ("mlflow", "mlflow-server.sh")):
        assert any(volume.startswith(f"./{script}:") for volume in SERVICES[service]["volumes"])
        assert f'sh "$here/{script}"' in _section(service)
        assert (DEPLOY / script).is_file()
    assert SERVICES["mlflow"]["command"] == ["sh", "/deploy/mlflow-server.sh"]
    command = re.findall(r"exec versitygw (.*)$", _section("s3"), flags=re.MULTILINE)
    assert command == ['--port ":$S3_PORT" "${s3_tls[@]}" posix "$folder/s3"']
    assert SERVICES["s3"]["command"] == ["--port", ":9000", "posix", "/data"]


def test_a_server_starts_after_what_it_needs() -> None:
    """MLflow's is healthy once it answers, so that --wait means what it says."""
    assert SERVICES["mlflow"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "s3": {"condition": "service_started"},
    }
    assert {name for name, service in SERVICES.items() if "healthcheck" in service} == {"postgres", "mlflow"}
