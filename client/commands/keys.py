"""`narrate keys`, `models`, `check`: the server's own commands on the Redis of `--data`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from client.errors import NarrateError
from client.local.data_folder import REDIS_URL_FILE, RESULTS_FOLDER, default_data_folder


def run_server_command(module: str, argv: Sequence[str]) -> int:
    """Run `keys`, `models` or `check` of the server; returns its exit code.

    They use the Redis of TTS_REDIS_URL, else that of the `narrate up` that runs on `--data`. No
    API key is needed: access to Redis is access to everything.
    """
    parser = argparse.ArgumentParser(prog=f"narrate {module}", add_help=False, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=default_data_folder())
    options, rest = parser.parse_known_args(argv)
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    has_redis = env.get("TTS_REDIS_URL") or env.get("REDIS_URL")
    if not has_redis and not {"-h", "--help"} & set(rest):
        env["TTS_REDIS_URL"] = _redis_of(options.data)
        env["TTS_STORAGE_URL"] = (options.data / RESULTS_FOLDER).resolve().as_uri()
    command = [sys.executable, "-m", f"api.{module}", *rest]
    return subprocess.run(command, env=env, check=False).returncode


def _redis_of(data: Path) -> str:
    try:
        return (data / REDIS_URL_FILE).read_text()
    except FileNotFoundError:
        raise NarrateError(
            f"nothing runs in {data}: start `narrate up` first, say where it keeps everything with "
            "--data, or set TTS_REDIS_URL"
        ) from None
