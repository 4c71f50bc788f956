"""The source of the ledger's Lua scripts: common parts first, then the one step."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

from shared.jobs import TRANSITIONS

COMMON = ("prelude", "webhooks", "turns", "batches", "ends")
# These run most often, and each part that they do not need would cost them something every time.
FEWER = {"admit": ("prelude", "turns"), "look": ("prelude", "turns"), "model_forget": ("prelude",)}


@cache
def load(name: str) -> str:
    """The source of `lua/{name}.lua`, after the parts that it may need."""
    folder = files("shared") / "lua"
    parts = [
        (folder / f"{part}.lua").read_text("utf-8") for part in (*FEWER.get(name, COMMON), name)
    ]
    return "".join(parts).replace("@TRANSITIONS@", _table())


def _table() -> str:
    """The legal changes, as Lua writes a table."""
    rows = (f"{old} = {{ {json.dumps(sorted(news))[1:-1]} }}" for old, news in TRANSITIONS.items())
    return f"{{ {', '.join(rows)} }}"
