"""The demo voice: a checkpoint in the package, packed, since the layout makes much of it zeros."""

from __future__ import annotations

import hashlib
import shutil
import uuid
import zipfile
from pathlib import Path

from worker.model.loading import ModelUnavailable

# Package data: `tool.setuptools.package-data` of pyproject.toml names it.
PACKED = Path(__file__).resolve().parents[1] / "demo_voice" / "checkpoint.zip"
# The time of every file in it, so that equal weights make equal files.
_TIME = (1980, 1, 1, 0, 0, 0)


def unpack(cache: Path) -> Path:
    """The folder of the checkpoint, under `cache`; unpacked there on its first use.

    Another version of the file gets another folder. Raises `ModelUnavailable` if the package has
    no such file.
    """
    if not PACKED.is_file():
        raise ModelUnavailable(
            f"this installation has no demo voice ({PACKED} is missing): install the package again,"
            " or use 0.6B-CustomVoice or a local folder"
        )
    folder = cache / f"demo-{hashlib.sha256(PACKED.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        draft = cache / f".demo.{uuid.uuid4().hex}"
        try:
            with zipfile.ZipFile(PACKED) as file:
                file.extractall(draft)
            draft.rename(folder)
        except OSError:
            if not folder.exists():  # or another process was faster
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def pack(folder: Path, packed: Path) -> None:
    """Write the checkpoint in `folder` as the file that `unpack` reads."""
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _TIME)
                info.external_attr = 0o644 << 16
                file.writestr(info, path.read_bytes(), zipfile.ZIP_LZMA)
