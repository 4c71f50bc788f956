"""Images built and run by buildah without a Docker engine: each step in a chroot."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.images import pip_access
from tests.support.paths import ROOT


class Builder:
    """Builds the Dockerfiles on a stand-in for their base; all that it keeps is in `folder`."""

    def __init__(self, folder: Path, base: Path, torch_index: str | None) -> None:
        self.folder, self._base, self._torch_index = folder, base, torch_index
        self._containers: dict[str, str] = {}
        self.base_name = ""

    def build(self, dockerfile: str, tag: str) -> None:
        """Build an image from all steps of a Dockerfile; the output goes to `TAG.log`."""
        text = (ROOT / dockerfile).read_text()
        (base,) = re.findall(r"^FROM (\S+)@sha256:\w+$", text, re.MULTILINE)
        if base != self.base_name:
            self._make_base(base)
        # By its name: the digest is that of the image in the registry.
        file = self.folder / dockerfile
        file.write_text(re.sub(r"@sha256:\w+", "", text))
        arguments = ["--file", str(file), "--tag", tag, "--pull=never", "--format", "docker"]
        if self._torch_index and "ARG TORCH_INDEX" in text:
            arguments += ["--build-arg", f"TORCH_INDEX={self._torch_index}"]
        for mount in pip_access.mounts(self.folder):
            arguments += ["--volume", mount]
        with (self.folder / f"{tag}.log").open("w") as log:
            done = subprocess.run(
                self.command("bud", "--isolation", "chroot", *arguments, str(ROOT)),
                stdout=log,
                stderr=log,
            )
        assert done.returncode == 0, self._end_of_log(tag)

    def _make_base(self, name: str) -> None:
        self.base_name = name
        (container,) = self.run("from", "scratch").split()
        self.run("add", "--quiet", container, str(self._base), "/")
        self.run("commit", "--quiet", container, f"docker.io/library/{name}")
        self.run("rm", container)

    def _end_of_log(self, tag: str) -> str:
        lines = (self.folder / f"{tag}.log").read_text().splitlines()
        return "\n".join(line[:300] for line in lines[-20:])

    def container(self, image: str) -> str:
        """The one container of an image, by its id: vfs copies all files for each."""
        if image not in self._containers:
            (self._containers[image],) = self.run("from", "--pull=never", image).split()
        return self._containers[image]

    def files(self, image: str) -> Path:
        """The folder in which the files of an image's container lie."""
        return Path(self.run("mount", self.container(image)).strip())

    def config(self, image: str) -> dict[str, object]:
        """The configuration of an image: its user, command and volumes."""
        inspected = json.loads(self.run("inspect", "--type", "image", image))
        found: dict[str, object] = inspected["Docker"]["config"]
        return found

    def command(self, *arguments: str) -> Sequence[str]:
        """A command line of buildah with the storage of this builder."""
        places = ("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"))
        # vfs copies files, and needs nothing of the kernel.
        return ("buildah", "--storage-driver", "vfs", *places, *arguments)

    def run(self, *arguments: str) -> str:
        """The output of a buildah command, which has to succeed."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
