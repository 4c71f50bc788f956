"""`python -m api.keys`, which `narrate keys` calls: make, list and revoke API keys."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from shared.connection import connect
from shared.errors import QueueError
from shared.keys import Key, Keys, Quota, Scope
from shared.settings import Settings

EPILOG = """The keys are those of REDIS_URL, or of the `narrate up` that runs on this machine;
`narrate keys --data DIR` is about the one that keeps everything in DIR."""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says, on the Redis of the settings."""
    options = _parser().parse_args(argv)
    try:
        redis = connect(Settings.load().redis_url)
        print("\n".join(options.does(Keys(redis), options)))  # noqa: T201 - this is its output
    except QueueError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="narrate keys", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key and show it, once")
    create.set_defaults(does=_create)
    create.add_argument("name", type=_name, help="for you to know it by")
    create.add_argument(
        "--owner",
        type=_owner,
        help="keys of one owner share jobs, voices and quotas (default: an owner of its own)",
    )
    create.add_argument(
        "--scope",
        action="append",
        choices=list(Scope),
        help="read jobs and audio, speak, or change voices; may be repeated (default: all)",
    )
    for name in ("open-jobs", "chars-per-day", "audio-s-per-day"):
        create.add_argument(f"--{name}", type=_count, metavar="N", help="quota (default: none)")
    commands.add_parser("list", help="list all keys").set_defaults(does=_list)
    revoke = commands.add_parser("revoke", help="let a key open nothing any more, at once")
    revoke.set_defaults(does=_revoke)
    revoke.add_argument("id", help="as `list` shows it")
    return parser


def _create(keys: Keys, options: argparse.Namespace) -> list[str]:
    quota = Quota(
        open_jobs=options.open_jobs,
        chars_per_day=options.chars_per_day,
        audio_s_per_day=options.audio_s_per_day,
    )
    is_first = not keys.all()
    scopes = tuple(Scope(scope) for scope in options.scope or Scope)
    _, token = keys.create(options.name, owner=options.owner, scopes=scopes, quota=quota)
    if is_first:
        print("The first key: from now on every request needs one.", file=sys.stderr)  # noqa: T201
    return [token]


def _list(keys: Keys, _options: argparse.Namespace) -> list[str]:
    rows = [_row(key) for key in keys.all()]
    heads = ("ID", "NAME", "OWNER", "SCOPES", "QUOTA", "CREATED", "")
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    return [
        "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *rows)
    ]


def _row(key: Key) -> tuple[str, ...]:
    quota = ", ".join(
        f"{name}={most}" for name, most in key.quota.model_dump(exclude_none=True).items()
    )
    return (
        key.id,
        key.name,
        key.owner,
        ",".join(key.scopes),
        quota or "none",
        time.strftime("%Y-%m-%d %H:%M", time.localtime(key.created_at)),
        "revoked" if key.revoked_at else "",
    )


def _revoke(keys: Keys, options: argparse.Namespace) -> list[str]:
    key = keys.revoke(options.id)
    return [f"{key.id} ({key.name}) opens nothing any more"]


def _name(text: str) -> str:
    """A name to be shown; argparse reports the ValueError."""
    if not text.strip() or len(text) > 64 or not text.isprintable():
        raise ValueError
    return text.strip()


def _owner(text: str) -> str:
    """A name that can be a part of a key in Redis; argparse reports the ValueError."""
    if ":" in text:
        raise ValueError
    return _name(text)


def _count(text: str) -> int:
    """A whole number from 1; argparse reports the ValueError."""
    if int(text) < 1:
        raise ValueError
    return int(text)


if __name__ == "__main__":
    main()
