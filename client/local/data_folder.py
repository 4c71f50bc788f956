"""The data folder of a local stack; one stack uses it at a time."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from client.errors import StartFailed

FOLDER_NAME = "qwen-tts-queue"
REDIS_URL_FILE = "redis.url"  # has the address of the running stack's Redis
RESULTS_FOLDER = "results"  # is its storage
LOCK_TIMEOUT_S = 1.0
FOLDERS = ("redis", RESULTS_FOLDER, "logs")
OWN_NAMES = frozenset((*FOLDERS, "lock", REDIS_URL_FILE))


def default_data_folder() -> Path:
    """The user's data folder for this program, after the XDG specification."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / FOLDER_NAME


def make_private(folder: Path) -> None:
    """Make a data folder with mode 700, or change the mode of an existing one.

    A folder with files of others, such as a home folder, keeps its mode: only our own folders
    in it are changed. Raises StartFailed if that is impossible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if OWN_NAMES.issuperset(os.listdir(folder)):
            folder.chmod(0o700)
        for name in FOLDERS:
            (folder / name).mkdir(exist_ok=True)
            (folder / name).chmod(0o700)
    except OSError as error:
        raise StartFailed(
            f"cannot keep {error.filename} from other users: {error.strerror}; use --data with a "
            "folder of your own"
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a file with mode 600, replacing one that others can read."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


class FolderLock:
    """A lock on a folder, held until every process that has `fd` open has closed it or died.

    Redis inherits `fd`: if only this process is killed, no second Redis can start on the files of
    the one that is still stopping.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock, making the folder. Raises StartFailed if another stack has it."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartFailed(f"cannot use the folder {folder}: {error.strerror}") from error
        if not self._acquire():
            os.close(self.fd)
            raise StartFailed(
                f"{folder} is in use by another `narrate up`: stop that one, or use --data"
            )

    def release(self) -> None:
        """Release the lock."""
        os.close(self.fd)

    def _acquire(self) -> bool:
        # The Redis of a killed stack holds the lock until it has stopped.
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            else:
                return True
