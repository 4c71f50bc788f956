"""A stand-in for the images' base, which lies in a registry: Debian's own Python 3.11.

debootstrap makes it of Debian 12, whose Python has the base's minor version, so that the locked
wheels are the same ones. It is made once, and again after a change of what is in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

RELEASE = "bookworm"
# What a build fills anew, and what no image has.
LEFT_OUT = ("proc", "sys", "var/cache/apt", "var/lib/apt/lists")
PACKAGES = "ca-certificates,python3,python3-pip,python-is-python3"


def missing() -> str | None:
    """A sentence on the right or program that this machine lacks; None if images can be built."""
    if os.geteuid() != 0:
        return "images are built in a root file system, by root: sudo make images-check"
    absent = [name for name in ("buildah", "debootstrap", "tar") if shutil.which(name) is None]
    if absent:
        return f"{' and '.join(absent)} cannot be found: apt-get install buildah debootstrap"
    # What chroot isolation needs; a sandbox may forbid it.
    mounted = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    )
    if mounted.returncode != 0:
        return "this sandbox lets root mount nothing, which a build needs: use another machine"
    return None


def make(folder: Path) -> Path:
    """The root as a tar archive in `folder`."""
    archive = folder / f"base-{RELEASE}.tar"
    stamp, contents = archive.with_suffix(".txt"), f"{PACKAGES} without {LEFT_OUT}\n"
    if archive.exists() and stamp.exists() and stamp.read_text() == contents:
        return archive
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, root)
    # pip would refuse to install beside Debian's packages; the base's Python has none of those.
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    left_out = [f"--exclude=./{place}/*" for place in LEFT_OUT]
    _run("tar", "--create", "--file", archive, "--directory", root, *left_out, ".")
    shutil.rmtree(root)
    stamp.write_text(contents)
    return archive


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}{done.stderr}")
