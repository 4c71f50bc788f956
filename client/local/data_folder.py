"""The folder where a local stack keeps everything, used by one stack at a time."""

import fcntl
import os
import time
from pathlib import Path

from client.errors import StartFailed

NAME = "qwen-tts-queue"
# The file that says where the Redis of the running stack listens.
REDIS_URL = "redis.url"
# The folder of its storage.
RESULTS = "results"
LOCK_TRY_S = 1.0
FOLDERS = ("redis", "results", "logs")
OWN_NAMES = frozenset((*FOLDERS, "lock", REDIS_URL))


def default_data_folder() -> Path:
    """Return the user's own data folder for this program, after the XDG specification."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / NAME


def make_private(folder: Path) -> None:
    """Make a data folder that only its user can look into, or tighten one that is there.

    A folder that holds other things too, such as a home folder, keeps its mode: only what is ours
    in it is tightened. Raises StartFailed where that is impossible.
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
    """Write a file that only its user can read, also in place of one that others could."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


class FolderLock:
    """A lock on a folder, held until every process that has `fd` open has closed it or died.

    Redis gets `fd` too: if only we are killed, nobody can start a second Redis on the files of
    one that is still stopping.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock, making the folder; StartFailed where another stack has it."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartFailed(f"cannot use the folder {folder}: {error.strerror}") from error
        if not self._taken():
            os.close(self.fd)
            raise StartFailed(
                f"{folder} is in use by another `narrate up`: stop that one, or use --data"
            )

    def release(self) -> None:
        """Let others have the folder."""
        os.close(self.fd)

    def _taken(self) -> bool:
        # The Redis of a stack that was killed just now needs a moment to go.
        deadline = time.monotonic() + LOCK_TRY_S
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
            else:
                return True
