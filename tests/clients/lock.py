"""Writes the lock files of the programs anew, after a change of their versions.

`python tests/clients/lock.py FOLDER`, where FOLDER is that of `install.py`, whose npm is used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from install import HERE, NODE, NODE_FILES, PYTHON_VERSIONS, REQUIREMENTS

# The oldest Python that the project runs on.
OLDEST_PYTHON = "3.11"


def main() -> None:
    """Lock each environment of Python, then the packages of Node.js."""
    folder = Path(sys.argv[1]).resolve()
    uv = Path(sys.executable).with_name("uv")
    form = ("--quiet", "--no-config", "--universal", "--no-annotate", "--no-header")
    for source in sorted(REQUIREMENTS.glob("*.in")):
        version = PYTHON_VERSIONS.get(source.stem, OLDEST_PYTHON)
        lock = source.with_suffix(".lock")
        compiled = (uv, "pip", "compile", *form, "--python-version", version, source, "-o", lock)
        subprocess.run(compiled, check=True)
    for name in NODE_FILES:
        shutil.copy(HERE / name, folder)
    programs = folder / NODE / "bin"
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    # Without the addresses of a registry: each machine has its own.
    options = ("--package-lock-only", "--omit-lockfile-registry-resolved", "--no-audit")
    subprocess.run([programs / "npm", "install", *options], cwd=folder, env=environment, check=True)
    shutil.copy(folder / NODE_FILES[1], HERE)


if __name__ == "__main__":
    main()
