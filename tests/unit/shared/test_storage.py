from pathlib import Path

import pytest

from shared.errors import Unavailable
from shared.storage import Storage


def test_a_storage_that_fails_is_unavailable(tmp_path: Path) -> None:
    storage = Storage.open((tmp_path / "results").as_uri())
    (tmp_path / "results" / "a").write_bytes(b"a file where a folder should be")
    with pytest.raises(Unavailable, match="a/b"):
        storage.put("a/b", b"one")
