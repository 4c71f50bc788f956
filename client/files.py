"""Output files: their formats, checks before synthesis, atomic writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from client.errors import NarrateError

FORMATS = ("wav", "flac", "mp3", "opus", "m4b")


def format_of(path: Path) -> str:
    """The audio format of a file name. Raises NarrateError if its suffix is none."""
    name = path.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise NarrateError(f"cannot write {path}: its name must end in one of {known}")
    return name


def check_writable(path: Path) -> None:
    """Raise NarrateError if `path` cannot be written: now, not after the synthesis."""
    format_of(path)
    if path.exists() and not path.is_file():
        raise NarrateError(f"cannot write {path}: not a regular file")
    check_folder(path, path.parent)


def check_folder(path: Path, folder: Path) -> None:
    """Raise NarrateError if the folder of `path` does not exist or is not writable."""
    if not folder.is_dir():
        raise NarrateError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise NarrateError(f"cannot write {path}: no permission in {folder}")


def write_atomically(path: Path, fetch: Callable[[Path], object]) -> Path:
    """Write `path` atomically: `fetch` writes a file beside it, which is then renamed."""
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
