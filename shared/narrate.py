"""The `narrate` script. Every installation has it, and not every one has the client."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec


def main() -> int:
    """Run the client and return its exit code.

    Without the client, `narrate keys` is the server's own command for keys where that is
    installed, and all else ends with a sentence.
    """
    try:
        # By name: nothing else in `shared` may know the client.
        client = import_module("client.cli")
    except ModuleNotFoundError as error:
        if sys.argv[1:2] == ["keys"] and find_spec("api"):
            import_module("api.keys").main(sys.argv[2:])
            return 0
        sys.exit(
            f"narrate: the client is not installed here (no module `{error.name}`): "
            "pip install 'qwen-tts-queue[client]'"
        )
    return int(client.main())
