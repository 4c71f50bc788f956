"""Every kind of storage, real S3 among them, and every way in which one fails."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from shared.errors import ObjectNotFound, StorageRefused, Unavailable
from shared.storage import MARKER_KEY, MAX_SMALL_WRITE_BYTES, PIECE_BYTES, Storage, StorageLimits
from tests.support.processes import frozen
from tests.support.receiver import receiving
from tests.support.s3_server import BUCKET, S3Server

SHORT = StorageLimits(silent_s=0.5, write_s=4.0)
BIG = os.urandom(3 * PIECE_BYTES + 17)
# What Amazon and MinIO answer where the bucket is in another region than AWS_REGION.
OTHER_REGION = [
    (
        301,
        b"<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access "
        b"must be addressed using the specified endpoint.</Message></Error>",
    ),
    (
        400,
        b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is "
        b"malformed; the region is wrong; expecting 'eu-central-1'.</Message></Error>",
    ),
]


@pytest.fixture
def s3_env(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture(params=["file", "memory", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "s3":
        request.getfixturevalue("s3_env")
        yield Storage.open(f"s3://{BUCKET}/some/where-{uuid.uuid4().hex}", SHORT)
    elif request.param == "file":
        yield Storage.open((tmp_path / "a folder" / "results").as_uri())
    else:
        yield Storage.open("memory:///")


def test_what_is_written_is_read(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    storage.put("a/bytes", BIG)
    storage.put("a/file", tmp_path / "big")
    storage.put("a/small", b"one")
    storage.put("a/small", b"two")
    for name in ("bytes", "file"):
        assert storage.get(f"a/{name}") == BIG
        assert storage.look(f"a/{name}").size_bytes == len(BIG)
    assert b"".join(storage.open_read("a/file", 0, len(BIG))) == BIG
    assert b"".join(storage.open_read("a/file", 5, PIECE_BYTES + 9)) == BIG[5 : PIECE_BYTES + 9]
    assert b"".join(storage.open_read("a/file", 7, 7)) == b""
    assert storage.get("a/small") == b"two"
    storage.delete_folder("a")
    storage.delete_folder("a")
    with pytest.raises(ObjectNotFound):
        storage.look("a/small")


@pytest.mark.usefixtures("s3_env")
def test_two_deployments_in_one_bucket_do_not_see_each_other() -> None:
    names = [f"deployment-{uuid.uuid4().hex}" for _ in range(2)]
    one, other = (Storage.open(f"s3://{BUCKET}/{name}", SHORT) for name in names)
    one.put("jobs/j/audio.wav", b"one")
    other.put("jobs/j/audio.wav", b"other")
    one.delete_folder("jobs")
    assert other.get("jobs/j/audio.wav") == b"other"
    with pytest.raises(ObjectNotFound):
        one.get("jobs/j/audio.wav")


def test_a_folder_on_another_file_system_works(tmp_path: Path) -> None:
    """As an NFS mount is: nothing is renamed from one file system to another."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system: /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        storage = Storage.open(Path(folder).as_uri())
        (tmp_path / "big").write_bytes(BIG)
        storage.put("a/file", tmp_path / "big")
        assert storage.get("a/file") == BIG


def test_of_many_that_delete_a_folder_each_leaves_nothing(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path.as_uri())
    folder = tmp_path / "jobs" / "j"
    starts = Barrier(4)

    def sweep(_: int) -> bool:
        starts.wait(10)
        storage.delete_folder("jobs/j")
        return folder.exists()

    with ThreadPoolExecutor(4) as sweepers:
        for _round in range(20):
            for number in range(60):
                (folder / str(number)).mkdir(parents=True)
                (folder / str(number) / "audio.wav").write_bytes(b"x")
            assert list(sweepers.map(sweep, range(4))) == [False] * 4


def test_what_cannot_be_deleted_is_said(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path.as_uri())
    storage.put("jobs/j", b"an object where a folder should be")
    with pytest.raises(Unavailable):
        storage.delete_folder("jobs/j")


def test_what_is_not_there_is_not_found(storage: Storage) -> None:
    for read in (storage.get, storage.look, lambda key: storage.open_read(key, 0, 1)):
        with pytest.raises(ObjectNotFound, match="'no/such'"):
            read("no/such")


def test_only_the_first_id_is_kept(storage: Storage) -> None:
    assert storage.marker() is None
    storage.mark("first")
    storage.mark("second")
    assert storage.marker() == "first"


@pytest.mark.parametrize("size", [10, MAX_SMALL_WRITE_BYTES + 1, 20 * 2**20])
def test_a_storage_that_hangs_is_left_soon(s3_env: S3Server, size: int) -> None:
    storage = Storage.open(f"s3://{BUCKET}/hangs", SHORT)
    storage.put("a", BIG)
    calls: list[Callable[[], object]] = [
        lambda: storage.get("a"),
        lambda: storage.look("a"),
        lambda: storage.read("a", 0, 10),
        lambda: storage.put("b", b"-" * size),
        lambda: storage.delete_folder("c"),
        storage.marker,
    ]
    with frozen(s3_env.child):
        for call in calls:
            began_s = time.monotonic()
            with pytest.raises(Unavailable) as raised:
                call()
            assert type(raised.value) is Unavailable
            # Ten limits: far less than the minutes of obstore's own.
            assert time.monotonic() - began_s < 10 * SHORT.silent_s
    assert storage.get("a") == BIG


def test_a_download_that_stalls_in_the_middle_ends(s3_env: S3Server) -> None:
    storage = Storage.open(f"s3://{BUCKET}/stalls", SHORT)
    storage.put("a", BIG)
    content = storage.open_read("a", 0, len(BIG))
    assert next(content) == BIG[:PIECE_BYTES]
    with frozen(s3_env.child):
        began_s = time.monotonic()
        with pytest.raises(Unavailable):
            next(content)
        assert time.monotonic() - began_s < 10 * SHORT.silent_s


@pytest.mark.usefixtures("s3_env")
def test_a_missing_bucket_refuses_and_is_no_missing_object() -> None:
    storage = Storage.open("s3://no-such-bucket/x", SHORT)
    for call in (
        lambda: storage.put("a", b"one"),
        lambda: storage.put("a", BIG),
        lambda: storage.get("a"),
        lambda: storage.delete_folder("a"),
        lambda: storage.mark("id"),
        storage.marker,
    ):
        with pytest.raises(StorageRefused, match="there is no such bucket"):
            call()


def test_a_bucket_that_vanishes_is_no_missing_object(s3_env: S3Server) -> None:
    s3_env.create_bucket("vanishing")
    storage = Storage.open("s3://vanishing", SHORT)
    storage.mark("id")
    storage.expect_marker()
    with pytest.raises(ObjectNotFound):
        storage.look("a")
    s3_env.delete_bucket("vanishing")
    for read in (storage.get, storage.look):
        with pytest.raises(StorageRefused):
            read("a")


@pytest.mark.usefixtures("s3_env")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "check its credentials"),
        ({"AWS_ACCESS_KEY_ID": "wrong"}, "check its credentials"),
        ({"AWS_ALLOW_HTTP": ""}, "AWS_ALLOW_HTTP=1 allows that"),
    ],
)
def test_a_refusal_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    storage = Storage.open(f"s3://{BUCKET}/refused", SHORT)
    for call in (lambda: storage.put("a", b"x"), lambda: storage.get("a"), storage.marker):
        with pytest.raises(StorageRefused, match=said) as raised:
            call()
        assert "127.0.0.1" not in str(raised.value)


@pytest.mark.usefixtures("s3_env")
@pytest.mark.parametrize(("status", "content"), OTHER_REGION)
def test_a_bucket_of_another_region_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, content: bytes
) -> None:
    """From a server that only answers: moto takes every region, and so cannot refuse one."""
    with receiving() as server:
        server.content, server.answers = content, [(status, {})] * 4
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("AWS_REGION", "us-west-2")
        storage = Storage.open(f"s3://{BUCKET}/elsewhere", SHORT)
        calls: list[Callable[[], object]] = [
            lambda: storage.get("a"),
            lambda: storage.put("b", BIG),  # asks for the marker first
            lambda: storage.delete_folder("c"),
            storage.marker,
        ]
        for call in calls:
            with pytest.raises(StorageRefused, match="in another region; set AWS_REGION"):
                call()
    assert len(server.got) == len(calls)  # refused at once, not tried again
    assert all("/us-west-2/s3/aws4_request" in got.headers["authorization"] for got in server.got)


@pytest.mark.usefixtures("s3_env")
def test_a_storage_that_is_away_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    storage = Storage.open(f"s3://{BUCKET}/away", SHORT)
    with pytest.raises(Unavailable) as raised:
        storage.put("a", b"x")
    assert type(raised.value) is Unavailable
    assert "127.0.0.1" not in str(raised.value)


def test_a_storage_that_is_killed_under_a_download_is_away(tmp_path: Path) -> None:
    with S3Server(tmp_path) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        storage = Storage.open(f"s3://{BUCKET}", SHORT)
        storage.put("a", BIG)
        content = storage.open_read("a", 0, len(BIG))
        next(content)
        os.kill(server.child.pid, signal.SIGKILL)
        with pytest.raises(Unavailable):
            next(content)


def test_a_folder_that_is_not_mounted_is_not_written_to(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    storage = Storage.open(folder.as_uri())
    storage.mark("id")
    storage.expect_marker()
    storage.put("a/b", b"one")
    for empty in (False, True):
        shutil.rmtree(folder)
        if empty:
            folder.mkdir()  # the mount point, and nothing on it
        with pytest.raises(Unavailable, match="is its volume mounted"):
            storage.put("a/b", b"two")
        for read in (storage.get, storage.look, lambda key: storage.open_read(key, 0, 1)):
            with pytest.raises(Unavailable, match="is its volume mounted"):
                read("a/b")
        assert list(tmp_path.rglob("b")) == []
        folder.mkdir(exist_ok=True)
        (folder / MARKER_KEY).write_text("id")
        storage.put("a/b", b"three")  # mounted again
