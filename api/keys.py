"""Make, list and revoke API keys: `narrate keys`, or `python -m api.keys` where Redis is."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from redis import Redis

from api.operations.table import local_minute, table
from shared.errors import Misconfigured, QueueError
from shared.settings import Settings
from shared.storage import Storage
from shared.storage_identity import compare, has_storage, without_password
from shared.store.api_keys import DEFAULT_SCOPES, MARK_KEY, ApiKey, ApiKeys, KeyMark, Quota, Scope
from shared.store.connection import connect

EPILOG = """The keys are those of TTS_REDIS_URL, with a mark in TTS_STORAGE_URL (set both as for
the API), or of the `narrate up` that runs here; `narrate keys --data DIR` is about the one that has
its data in DIR."""


OWNER_PATTERN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
FIRST_KEY_MESSAGE = """\
The first key: from now on every request needs one, and sees what is its owner's.
What was sent before has no owner: it is spoken, and expires.
A mark that keys exist is in the storage ({place}).
Set TTS_AUTH=required too: then not even the loss of Redis and of the storage opens the service."""
NO_KEY_MESSAGE = "No key is left: every request is refused until one is created."


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and do what it says, on the Redis of the settings."""
    options = _parser().parse_args(argv)
    try:
        settings = Settings.load()
        redis = connect(settings.redis_url)
        # Only a command that makes a key writes the mark, so only that one opens the storage.
        mark = _mark(settings.storage_url, redis) if options.does is _create else None
        options.place = f"{without_password(settings.storage_url)}/{MARK_KEY}"
        keys = ApiKeys(redis, mark)
        sys.stdout.write("\n".join(options.does(keys, options)) + "\n")
    except QueueError as error:
        sys.exit(f"narrate: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="narrate keys", description=__doc__, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="make a key and show it, once")
    create.set_defaults(does=_create)
    create.add_argument("name", type=name, help="for you to know it by")
    create.add_argument(
        "--owner",
        type=owner,
        help="keys of one owner share jobs, voices and quotas (default: an owner of its own)",
    )
    create.add_argument(
        "--scope",
        action="append",
        choices=[scope.value for scope in Scope],
        help="read jobs and audio, speak, change voices, read metrics, or admin: operate the"
        " service; may be repeated (default: the first three)",
    )
    create.add_argument("--scopes", type=scopes, metavar="A,B", help="the same, in one list")
    for quota in ("open-jobs", "chars-per-day", "audio-s-per-day"):
        create.add_argument(f"--{quota}", type=count, metavar="N", help="quota (default: none)")
    commands.add_parser("list", help="list all keys").set_defaults(does=_list)
    revoke = commands.add_parser("revoke", help="let a key open nothing any more, at once")
    revoke.set_defaults(does=_revoke)
    revoke.add_argument("id", help="as `list` shows it")
    return parser


def _mark(url: str, redis: Redis) -> KeyMark:
    """The mark in the storage of the jobs; raises `Misconfigured` if they are in another one."""
    try:
        storage = Storage.open(url, makes_folder=not has_storage(redis))
        compare(storage, redis)
    except Misconfigured as error:
        raise Misconfigured(f"TTS_STORAGE_URL={without_password(url)}: {error.message}") from error
    return KeyMark(storage)


def _create(keys: ApiKeys, options: argparse.Namespace) -> list[str]:
    quota = Quota(
        open_jobs=options.open_jobs,
        chars_per_day=options.chars_per_day,
        audio_s_per_day=options.audio_s_per_day,
    )
    is_first = not keys.all()
    named = [*map(Scope, options.scope or ()), *(options.scopes or ())]
    chosen = tuple(dict.fromkeys(named)) or DEFAULT_SCOPES
    _, token = keys.create(options.name, owner=options.owner, scopes=chosen, quota=quota)
    if is_first:
        sys.stderr.write(FIRST_KEY_MESSAGE.format(place=options.place) + "\n")
    return [token]


def _list(keys: ApiKeys, _options: argparse.Namespace) -> list[str]:
    heads = ("ID", "NAME", "OWNER", "SCOPES", "QUOTA", "CREATED", "")
    return table(heads, [_row(key) for key in keys.all()])


def _row(key: ApiKey) -> tuple[str, ...]:
    quota = ", ".join(
        f"{name}={most}" for name, most in key.quota.model_dump(exclude_none=True).items()
    )
    return (
        key.id,
        key.name,
        key.owner,
        ",".join(key.all_scopes),
        quota or "none",
        local_minute(key.created_at),
        "revoked" if key.revoked_at else "",
    )


def _revoke(keys: ApiKeys, options: argparse.Namespace) -> list[str]:
    key = keys.revoke(options.id)
    if all(each.revoked_at for each in keys.all()):
        sys.stderr.write(f"{NO_KEY_MESSAGE}\n")
    return [f"{key.id} ({key.name}) opens nothing any more"]


# argparse puts the names of these four into its error messages.
def name(text: str) -> str:
    """A name to be shown; argparse reports the ValueError."""
    if not text.strip() or len(text) > 64 or not text.isprintable():
        raise ValueError
    return text.strip()


def scopes(text: str) -> tuple[Scope, ...]:
    """Scopes with commas between them; argparse reports the ValueError."""
    return tuple(Scope(each.strip()) for each in text.split(","))


def owner(text: str) -> str:
    """A name that can be a part of a key in Redis; argparse reports the ValueError."""
    if not OWNER_PATTERN.fullmatch(text):
        raise ValueError
    return name(text)


def count(text: str) -> int:
    """A whole number from 1; argparse reports the ValueError."""
    if int(text) < 1:
        raise ValueError
    return int(text)


if __name__ == "__main__":
    main()
