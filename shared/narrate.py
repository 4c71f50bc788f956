"""The `narrate` script of every installation, also of those without the client."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

SERVER_COMMANDS = ("keys", "models", "check")


def main() -> int:
    """Run the client and return its exit code.

    Without the client, `narrate keys`, `models` and `check` are the server's own commands where
    that is installed, and all else ends with a sentence.
    """
    try:
        # By name: nothing else in `shared` may know the client.
        client = import_module("client.cli")
    except ModuleNotFoundError as error:
        name = next(iter(sys.argv[1:]), "")
        if name in SERVER_COMMANDS and find_spec("api"):
            import_module(f"api.{name}").main(sys.argv[2:])
            return 0
        sys.exit(
            f"narrate: the client is not installed here (no module `{error.name}`): "
            "pip install 'qwen-tts-queue[client]'"
        )
    return int(client.main())
