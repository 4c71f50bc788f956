"""No Docker engine here: the files are linted, and their steps are run in another form."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import ComposeSpecification

from shared.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")


def steps(name: str, instruction: str) -> list[str]:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    return re.findall(rf"^{instruction}\s+(.+)$", text, flags=re.MULTILINE)


def pip_steps(name: str) -> list[str]:
    return [step for step in steps(name, "RUN") if step.startswith("pip")]


def command(name: str) -> list[str]:
    (argv,) = steps(name, "CMD")
    parsed: list[str] = json.loads(argv)
    return parsed


@pytest.fixture
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_dockerfiles_pass_the_linter(name: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    ran = subprocess.run([hadolint, "--no-color", ROOT / name], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_images_do_not_run_as_root_and_say_how_they_are(name: str) -> None:
    assert steps(name, "USER") == ["10001"]
    assert steps(name, "HEALTHCHECK")


def test_every_copied_path_exists_and_is_let_through() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().split()
        if line.startswith("!")
    }
    for name in DOCKERFILES:
        for step in steps(name, "COPY"):
            for source in step.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in allowed


def test_the_api_image_has_no_torch() -> None:
    lines = (ROOT / "Dockerfile.api").read_text().splitlines()
    assert "torch" not in " ".join(line for line in lines if not line.startswith("#"))


def test_the_worker_image_installs_the_torch_that_the_project_pins() -> None:
    pin = re.search(r"torch==[\d.]+", (ROOT / "pyproject.toml").read_text())
    assert pin is not None
    assert pin[0] in pip_steps("Dockerfile.worker")[0]


def test_the_compose_file_follows_the_specification(compose: dict[str, Any]) -> None:
    ComposeSpecification.model_validate(compose)


def test_the_compose_services_are_what_the_readme_says(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"redis", "qwen-tts-api", "worker"}
    assert "--appendonly yes" in services["redis"]["command"]
    assert services["qwen-tts-api"]["container_name"] == "qwen-tts-api"
    # A fixed name or a host port would stop `--scale worker=N`.
    assert not {"container_name", "ports"} & set(services["worker"])
    for service in ("qwen-tts-api", "worker"):
        build = services[service]["build"]
        assert (ROOT / build["dockerfile"]).is_file()
        assert "results:/results" in services[service]["volumes"]
        assert not [port for port in services[service].get("ports", ()) if "127.0.0.1" not in port]


def test_the_compose_file_sets_only_settings_that_exist(compose: dict[str, Any]) -> None:
    known = {name.upper() for name in Settings.model_fields}
    for service in compose["services"].values():
        assert set(service.get("environment", {})) <= known


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_commands_are_understood(name: str) -> None:
    argv = [sys.executable, *command(name)[1:], "--help"]
    ran = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_every_step_is_one_that_is_tried_here_or_plain(name: str) -> None:
    known = (
        "pip install",
        "apt-get update && apt-get install --yes --no-install-recommends g++ ",
        "useradd --uid 10001 --create-home tts && mkdir ",
    )
    assert [step for step in steps(name, "RUN") if not step.startswith(known)] == []


def test_the_pip_steps_of_the_worker_image_resolve() -> None:
    """Without the index of the torch step: here it has to be the one that pip is set up for."""
    for step in pip_steps("Dockerfile.worker"):
        install = step.replace('--index-url "${TORCH_INDEX}"', "")
        argv = [sys.executable, "-m", *shlex.split(install), "--dry-run", "--quiet"]
        subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)


@pytest.mark.integration
def test_the_api_image_installs_and_starts_from_what_is_copied(tmp_path: Path) -> None:
    """The image's own steps, in a folder and a virtual environment instead of a container."""
    app, venv = tmp_path / "app", tmp_path / "venv"
    app.mkdir()
    for step in steps("Dockerfile.api", "COPY"):
        for source in step.split()[:-1]:
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, app / source)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    (install,) = pip_steps("Dockerfile.api")
    subprocess.run(
        [venv / "bin" / "python", "-m", *shlex.split(install), "--quiet"], cwd=app, check=True
    )
    code = "import api.app, importlib.util as u; print(u.find_spec('torch'), u.find_spec('worker'))"
    ran = subprocess.run(
        [venv / "bin" / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (ran.stdout.strip(), ran.stderr) == ("None None", "")
    started = subprocess.run(
        [venv / "bin" / "python", *command("Dockerfile.api")[1:], "--help"],
        cwd=tmp_path,
        capture_output=True,
    )
    assert started.returncode == 0
