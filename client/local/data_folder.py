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


def default_data_folder() -> Path:
    """Return the user's own data folder for this program, after the XDG specification."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / NAME


class FolderLock:
    """A lock on a folder, held until every process that has `fd` open has closed it or died.

    Redis gets `fd` too: if only we are killed, nobody can start a second Redis on the files of
    one that is still stopping.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock, making the folder; StartFailed where another stack has it."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
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
