"""What is heard live is what the joined file has, whatever becomes of the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from api.speech import live_reader
from api.speech.live_reader import LivePcmReader
from client.local.redis_server import RedisServer
from shared.audio.fades import EMPTY_PCM, FADE_SAMPLES, StreamingFade, fade_edges
from shared.audio.wav import Pcm, decode_wav, encode_wav, to_pcm
from shared.document import Segment
from shared.errors import JobNotFound, JobNotReady, SynthesisFailed
from shared.jobs import Claim, SegmentResult, SpeechSpec, segment_id
from shared.storage import Storage
from shared.storage_paths import segments_folder
from shared.store import keys
from shared.store.connection import connect_listeners
from shared.store.ledger import Ledger
from shared.store.live_audio import LiveChunk
from tests.support.processes import wait_until
from worker.join import join_job

PAUSES = (0.01, 0.0, 0.3)
Hear = Callable[[], "Future[Pcm]"]


def noise(number: int, samples: int = 2_000) -> np.ndarray:
    """A segment that is loud at its edges."""
    loud = np.random.default_rng(number).uniform(-0.9, 0.9, samples)
    return loud.astype(np.float32)


@pytest.fixture
def ledger(redis: Redis) -> Ledger:
    return Ledger(redis, lease_s=30, max_attempts=3)


class Speaker:
    """Does what a worker does with a job of three segments, as slowly as a test likes."""

    def __init__(self, redis: Redis, ledger: Ledger, storage: Storage, spec: SpeechSpec) -> None:
        self.redis, self.ledger, self.storage = redis, ledger, storage
        self.sounds = [noise(number) for number in range(len(PAUSES))]
        texts = [
            Segment(f"Part {number}.", 8 * number, 8 * number + 8, pause)
            for number, pause in enumerate(PAUSES)
        ]
        ledger.admit("j", spec, texts)
        self.claims: list[Claim] = []

    def claim(self) -> None:
        held = self.ledger.claim("tiny-CustomVoice")
        assert held is not None
        self.claims.append(held)

    def say(self, index: int, first: int = 0, last: int | None = None, epoch: int = 1) -> None:
        part = to_pcm(self.sounds[index])[first:last]
        self.redis.xadd(
            keys.live_audio(segment_id("j", index)), LiveChunk(epoch, first, part).fields()
        )

    def end(self, index: int, epoch: int = 1) -> None:
        heard = LiveChunk(epoch, len(self.sounds[index]), EMPTY_PCM)
        self.redis.xadd(keys.live_audio(segment_id("j", index)), heard.fields())

    def commit(self, index: int) -> None:
        claim = self.claims[index]
        key = f"{segments_folder('j')}/{index}-{claim.epoch}.wav"
        self.storage.put(key, encode_wav(self.sounds[index]))
        result = SegmentResult(key=key, samples=len(self.sounds[index]))
        if (join := self.ledger.commit(claim, result)) is not None:
            self.join(join)

    def join(self, claim: Claim) -> None:
        job = self.ledger.job("j")
        spoken = list(self.ledger.spoken(job))
        joined = join_job(job, spoken, claim.epoch, self.storage, self.storage.get)
        self.ledger.commit(claim, SegmentResult(key=joined.key, samples=joined.samples))

    def speak_all(self) -> None:
        for index in range(len(PAUSES)):
            self.claim()
            self.commit(index)

    @property
    def joined(self) -> Pcm:
        key = self.ledger.job("j").result_key
        assert key is not None
        return decode_wav(self.storage.get(key))


@pytest.fixture
def speaker(redis: Redis, ledger: Ledger, storage: Storage, spec: SpeechSpec) -> Speaker:
    return Speaker(redis, ledger, storage, spec)


@pytest.fixture
def hear(
    redis_server: RedisServer,
    ledger: Ledger,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hear]:
    """Listen to the job from a thread."""
    monkeypatch.setattr(live_reader, "POLL_S", 0.05)

    async def listen() -> Pcm:
        redis = connect_listeners(redis_server.url)
        listener = LivePcmReader(ledger.job("j"), redis=redis, ledger=ledger, storage=storage)
        async with aclosing(redis):
            heard = [pcm async for pcm in listener.pcm()]
        pauses = sum(round(24_000 * pause) for pause in PAUSES)
        assert listener.silent == pauses
        assert listener.sent == sum(map(len, heard))
        return np.concatenate(heard)

    with ThreadPoolExecutor(2) as pool:
        yield lambda: pool.submit(asyncio.run, listen())


def assert_hears_all(heard: Future[Pcm], speaker: Speaker) -> None:
    np.testing.assert_array_equal(heard.result(20), speaker.joined)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), max_size=6),
    start=st.booleans(),
    end=st.booleans(),
)
def test_a_segment_in_pieces_is_faded_as_the_whole_is(
    lengths: Sequence[int], start: bool, end: bool
) -> None:
    pieces = [to_pcm(noise(number, length)) for number, length in enumerate(lengths)]
    seam = StreamingFade(start=start, end=end)
    out = [*(seam.add(piece) for piece in pieces), seam.close()]
    whole = np.concatenate([EMPTY_PCM, *pieces])
    np.testing.assert_array_equal(np.concatenate(out), fade_edges(whole, start=start, end=end))


def test_what_can_go_out_goes_out() -> None:
    seam = StreamingFade(start=True, end=True)
    assert len(seam.add(to_pcm(noise(0, 1_000)))) == 1_000 - FADE_SAMPLES


def test_segments_are_heard_in_order_though_they_are_spoken_at_once(
    hear: Hear, speaker: Speaker
) -> None:
    heard = hear()
    for _ in PAUSES:
        speaker.claim()
    for index in (2, 1, 0):
        speaker.say(index, 0, 700)
    for index in (2, 0, 1):
        speaker.say(index, 700)
        speaker.end(index)
    for index in (1, 2, 0):
        speaker.commit(index)
    assert_hears_all(heard, speaker)


@pytest.fixture
def hear_first(redis_server: RedisServer, ledger: Ledger, storage: Storage) -> Callable[[int], Pcm]:
    """Listen to so many samples at least, of a job that is not done."""

    async def listen(most: int) -> Pcm:
        redis = connect_listeners(redis_server.url)
        listener = LivePcmReader(ledger.job("j"), redis=redis, ledger=ledger, storage=storage)
        heard = [EMPTY_PCM]
        async with aclosing(redis), aclosing(listener.pcm()) as pieces:
            while listener.sent < most:
                heard.append(await anext(pieces))
        return np.concatenate(heard)

    return lambda most: asyncio.run(asyncio.wait_for(listen(most), 20))


def test_a_listener_hears_it_before_it_is_committed(
    speaker: Speaker, hear_first: Callable[[int], Pcm]
) -> None:
    speaker.claim()
    speaker.say(0, 0, 700)
    heard = hear_first(700 - FADE_SAMPLES)
    np.testing.assert_array_equal(heard, to_pcm(speaker.sounds[0])[: 700 - FADE_SAMPLES])


def test_another_attempt_goes_on_where_the_first_one_died(
    speaker: Speaker, hear_first: Callable[[int], Pcm]
) -> None:
    speaker.claim()
    speaker.say(0, 0, 700)
    speaker.say(0, 700, 1_100)
    speaker.say(0, 0, 900, epoch=2)
    speaker.say(0, 900, epoch=2)
    speaker.end(0, epoch=2)
    speaker.say(0, 0, 900, epoch=3)  # it died before its commit
    heard = hear_first(2_000)
    expected = fade_edges(to_pcm(speaker.sounds[0]), start=False, end=True)
    np.testing.assert_array_equal(heard[:2_000], expected)


def test_an_attempt_that_lost_its_claim_is_not_heard(
    speaker: Speaker, hear_first: Callable[[int], Pcm]
) -> None:
    speaker.claim()
    speaker.say(0, 0, 500, epoch=2)
    truth, speaker.sounds[0] = speaker.sounds[0], noise(99, 1_200)
    speaker.say(0, 500, epoch=1)
    speaker.end(0, epoch=1)
    speaker.sounds[0] = truth
    speaker.say(0, 500, epoch=2)
    speaker.end(0, epoch=2)
    heard = hear_first(2_000)
    expected = fade_edges(to_pcm(truth), start=False, end=True)
    np.testing.assert_array_equal(heard[:2_000], expected)


def test_what_a_stream_has_lost_is_in_the_segment_s_file(
    hear: Hear, speaker: Speaker, redis: Redis
) -> None:
    heard = hear()
    speaker.claim()
    speaker.say(0, 0, 500)
    speaker.say(0, 900)  # 500 to 900 were trimmed or never came
    speaker.end(0)
    speaker.commit(0)
    speaker.claim()
    speaker.say(1, 0, 500)
    redis.delete(keys.live_audio("j:1"))
    speaker.commit(1)
    speaker.claim()
    speaker.commit(2)
    assert_hears_all(heard, speaker)


def test_who_comes_late_hears_the_finished_job(
    hear: Hear, speaker: Speaker, storage: Storage
) -> None:
    speaker.speak_all()
    storage.delete_folder(segments_folder("j"))
    assert_hears_all(hear(), speaker)


def test_who_was_in_the_middle_when_all_else_was_gone_goes_on_from_the_finished_job(
    speaker: Speaker, ledger: Ledger, storage: Storage, redis: Redis, redis_server: RedisServer
) -> None:
    speaker.claim()
    speaker.say(0)
    speaker.end(0)

    async def listen() -> Pcm:
        listeners = connect_listeners(redis_server.url)
        listener = LivePcmReader(ledger.job("j"), redis=listeners, ledger=ledger, storage=storage)
        async with aclosing(listeners), aclosing(listener.pcm()) as pieces:
            heard = [await anext(pieces)]
            speaker.commit(0)
            for index in (1, 2):
                speaker.claim()
                speaker.commit(index)
            redis.delete(keys.live_audio("j:0"))
            storage.delete_folder(segments_folder("j"))
            return np.concatenate([*heard, *[pcm async for pcm in pieces]])

    np.testing.assert_array_equal(asyncio.run(listen()), speaker.joined)


def test_redis_may_be_away_for_a_moment(hear: Hear, speaker: Speaker, redis: Redis) -> None:
    heard = hear()
    speaker.claim()
    speaker.say(0, 0, 700)
    wait_until(lambda: redis.client_list(_type="normal"))
    redis.client_kill_filter(skipme=True)
    speaker.say(0, 700)
    speaker.end(0)
    speaker.commit(0)
    for index in (1, 2):
        speaker.claim()
        speaker.commit(index)
    assert_hears_all(heard, speaker)


def test_a_job_that_fails_says_why(hear: Hear, speaker: Speaker) -> None:
    heard = hear()
    speaker.claim()
    speaker.say(0, 0, 700)
    speaker.ledger.fail(speaker.claims[0], "worker_lost", "it died")
    with pytest.raises(SynthesisFailed, match="it died") as failed:
        heard.result(20)
    assert failed.value.code == "worker_lost"


def test_a_cancelled_job_is_not_waited_for(hear: Hear, speaker: Speaker) -> None:
    heard = hear()
    speaker.ledger.cancel("j")
    with pytest.raises(JobNotReady, match="cancelled"):
        heard.result(20)


def test_a_job_that_is_forgotten_is_not_waited_for(hear: Hear, speaker: Speaker) -> None:
    heard = hear()
    speaker.ledger.cancel("j")
    speaker.ledger.forget("j")
    with pytest.raises((JobNotFound, JobNotReady)):
        heard.result(20)
