"""`narrate keys`: the server's own command for keys, told which Redis it is about."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from client.errors import NarrateError
from client.local.data_folder import REDIS_URL, RESULTS, default_data_folder


def keys(argv: Sequence[str]) -> int:
    """Run it and return its exit code.

    Keys lie in the Redis of REDIS_URL, or else of the `narrate up` that runs on `--data`. Whoever
    may reach that may do anything, so no key is asked for.
    """
    rest, data = _without_data(list(argv))
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    if not env.get("REDIS_URL") and not {"-h", "--help"} & set(rest):
        env["REDIS_URL"] = _redis_of(data)
        env["STORAGE_URL"] = (data / RESULTS).resolve().as_uri()
    command = [sys.executable, "-m", "api.keys", *rest]
    return subprocess.run(command, env=env, check=False).returncode


def _without_data(argv: list[str]) -> tuple[list[str], Path]:
    parser = argparse.ArgumentParser(prog="narrate keys", add_help=False, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    options, rest = parser.parse_known_args(argv)
    return rest, options.data


def _redis_of(data: Path) -> str:
    try:
        return (data / REDIS_URL).read_text()
    except FileNotFoundError:
        raise NarrateError(
            f"nothing runs in {data}: start `narrate up` first, say where it keeps everything with "
            "--data, or set REDIS_URL"
        ) from None
