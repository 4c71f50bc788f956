"""Installs the programs of `make clients`, each at its pinned version, into one folder.

`python tests/clients/install.py FOLDER`. Each package of Python has an environment of its own,
since programs disagree about the versions that they need; nothing is installed into the product's.
What is there in the right version is left as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
# Node.js itself comes in a package of Python's: one version on every machine.
NODE = "node"
NODE_FILES = ("package.json", "package-lock.json")
# Taken out of their packages and not installed, which would start them as services.
DEBIAN_PACKAGES = ("caddy", "nginx")
# Programs that need a newer Python than the project; uv fetches it if the machine has none.
PYTHON_VERSIONS = {"wyoming-openai": "3.12"}


def main() -> None:
    """Install all programs, several at a time."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    environments = sorted(path.stem for path in REQUIREMENTS.glob("*.lock"))
    assert NODE in environments
    with ThreadPoolExecutor(3) as pool:
        pending = [pool.submit(_install_debian_packages, folder / "debian")]
        # The packages of Node.js take the longest.
        pending.append(pool.submit(_install_node_packages, folder))
        pending += [
            pool.submit(_install_environment, folder, name) for name in environments if name != NODE
        ]
        for done in pending:
            done.result()


def _install_environment(folder: Path, name: str) -> None:
    """Make an environment of Python with what its lock file lists."""
    lock, environment = REQUIREMENTS / f"{name}.lock", folder / name
    stamp = environment / ".lock"
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    uv = Path(sys.executable).with_name("uv")
    version = PYTHON_VERSIONS.get(name)
    python = _find_python(version) if version else sys.executable
    _run(uv, "venv", "--quiet", "--clear", "--python", python, environment)
    _run(uv, "pip", "sync", "--quiet", "--python", environment / "bin" / "python", lock)
    stamp.write_bytes(lock.read_bytes())


def _find_python(version: str) -> str:
    """A Python of this version that starts, or the version itself."""
    found = [
        shutil.which(f"python{version}"),
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    for program in filter(None, found):
        # pyenv leaves stand-ins on the path that start nothing.
        if subprocess.run([program, "-c", ""], capture_output=True).returncode == 0:
            return program
    return version


def _install_node_packages(folder: Path) -> None:
    _install_environment(folder, NODE)
    stamp = folder / "node_modules" / ".lock"
    lock = HERE / NODE_FILES[1]
    if stamp.exists() and stamp.read_bytes() == lock.read_bytes():
        return
    for name in NODE_FILES:
        shutil.copy(HERE / name, folder)
    programs = folder / NODE / "bin"
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    npm = (programs / "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    _run(*npm, cwd=folder, env=environment)
    stamp.write_bytes(lock.read_bytes())


def _install_debian_packages(folder: Path) -> None:
    """Unpack what the machine's own Debian has, whose mirrors keep no older versions."""
    for name in DEBIAN_PACKAGES:
        if not (folder / name).exists():
            archives = folder / "archives"
            archives.mkdir(parents=True, exist_ok=True)
            _run("apt-get", "download", "--quiet", "--quiet", name, cwd=archives)
            (archive,) = archives.glob(f"{name}_*.deb")
            _run("dpkg-deb", "--extract", archive, folder / name)


def _run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
