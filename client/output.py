"""Files to be written: what they may be called, and that they appear whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from client.errors import NarrateError

FORMATS = ("wav", "flac", "mp3", "opus", "m4b")


def format_of(path: Path) -> str:
    """Return the format that a file's name asks for; NarrateError where it is none."""
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise NarrateError(f"cannot write {path}: its name must end in one of {known}")
    return name


def check_writable(path: Path) -> None:
    """Refuse an impossible output file now rather than after the whole synthesis."""
    format_of(path)
    if path.exists() and not path.is_file():
        raise NarrateError(f"cannot write {path}: not a regular file")
    check_folder(path, path.parent)


def check_folder(path: Path, folder: Path) -> None:
    """Refuse a file whose folder is not there, or closed to us."""
    if not folder.is_dir():
        raise NarrateError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise NarrateError(f"cannot write {path}: no permission in {folder}")


def write_whole(path: Path, fetch: Callable[[Path], object]) -> Path:
    """Let `fetch` write a file beside `path`, then rename it to that."""
    if path.exists() and not path.is_file():  # Renaming over /dev/null would replace it.
        raise NarrateError(f"cannot write {path}: not a regular file")
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        fetch(part)
        os.replace(part, path)
    except OSError as error:
        raise NarrateError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return path
