"""The Python client and the `narrate` command."""

from client.narrator import Narrator

__all__ = ["Narrator"]
