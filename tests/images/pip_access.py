"""The configuration of this machine's pip, lent to a build and not kept in its image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Options that say where packages come from; no others are lent.
OPTIONS = {
    *("index-url", "extra-index-url", "find-links", "trusted-host"),
    *("proxy", "cert", "client-cert", "timeout", "default-timeout", "retries"),
}


def mounts(folder: Path) -> list[str]:
    """Mounts for a build, as `PLACE:PLACE:ro`: a pip.conf, and the local files that it names."""
    options = _options()
    lines = [f"{name} = {value}" for name, value in sorted(options.items())]
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *lines, ""]))
    places = {place for value in options.values() for place in map(_place, value.split()) if place}
    return [f"{file}:/etc/pip.conf:ro", *(f"{place}:{place}:ro" for place in sorted(places))]


def _options() -> dict[str, str]:
    """The options by their names; the environment's win over those of files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    pairs = [line.split("=", 1) for line in listed.splitlines()]
    # `global.cert='…'` and `:env:.cert='…'`, the environment's first.
    found = [(name.rpartition(".")[2], value.strip("'\"")) for name, value in reversed(pairs)]
    return {name: value for name, value in found if name in OPTIONS}


def _place(value: str) -> str | None:
    """The existing path that a value needs, if it is a path or a `file://` URL."""
    url = urlsplit(value)
    path = Path(unquote(url.path) if url.scheme == "file" else value)
    if not path.is_absolute() or not path.exists():
        return None
    # The pages of an index link to files beside it: ../../files/NAME.
    return str(path.parent if url.scheme == "file" and path.is_dir() else path)
