"""Whatever two workers, clients and a reconciler do, in whatever order, the ledger stays sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from shared.errors import JobEnded, NotRetriable, NotRunning, QueueError, QuotaExceeded, StaleClaim
from shared.jobs import (
    TERMINAL,
    TRANSITIONS,
    Claim,
    Priority,
    SegmentResult,
    SpeechSpec,
    Status,
    job_of,
)
from shared.storage import Storage
from shared.store import keys
from shared.store.ledger import Ledger
from shared.store.limits import Limits
from shared.store.pauses import Pauses
from shared.store.repairs import Repairs
from shared.store.webhooks import Events, EventType, Webhook
from tests.support.ledger_state import LedgerState
from tests.support.plain_segments import plain

MAX_ATTEMPTS = 3
LIMITS = Limits(open_segments=40, owner_jobs=4, owner_chars=300, owner_segments=9)
Held = tuple[str, Claim]
MAX_JOB_CHARS = 36  # 4 texts of 9
MODELS, OWNERS, WORKERS = ("m1", "m2"), ("ann", "ben"), ("w1", "w2")
HOOK = Webhook(url="https://a.example/", receiver="https://a.example", events=tuple(EventType))


class LedgerMachine(RuleBasedStateMachine):
    """Leases never run out by themselves here: a rule lets them."""

    claims = Bundle("claims")

    def __init__(self, redis: Redis, spec: SpeechSpec) -> None:
        super().__init__()
        redis.flushall()
        self.redis, self.spec = redis, spec
        self.ledgers = {
            name: Ledger(redis, lease_s=1_000, max_attempts=MAX_ATTEMPTS, worker=name)
            for name in WORKERS
        }
        self.jobs: dict[str, int] = {}
        self.accepted = self.reports = 0
        self.newest: dict[str, int] = {}
        self.committed: Counter[str] = Counter()
        self.claimed: Counter[str] = Counter()
        self.statuses: dict[str, Status] = {}
        self.events = Events(redis, lease_s=1_000)
        self.told: Counter[str] = Counter()
        self.repairs = Repairs(redis, max_attempts=MAX_ATTEMPTS)
        self.pauses = Pauses(redis)
        self.storage = Storage.open("memory:///")
        self.retries: Counter[str] = Counter()

    @property
    def ledger(self) -> Ledger:
        return self.ledgers["w1"]

    @initialize()
    def begin(self) -> None:
        for owner in OWNERS:
            self.admit("m1", owner, ["x", "y"])

    @rule(
        model=st.sampled_from(MODELS),
        owner=st.sampled_from(OWNERS),
        texts=st.lists(st.text("xy", min_size=1, max_size=9), min_size=1, max_size=4),
        priority=st.sampled_from(Priority),
    )
    def admit(
        self, model: str, owner: str, texts: list[str], priority: Priority = Priority.NORMAL
    ) -> None:
        name, spec = f"j{self.accepted}", self.spec.model_copy(update={"model": model})
        try:
            self.ledger.admit(
                name,
                spec,
                plain(texts),
                owner=owner,
                limits=LIMITS,
                webhook=HOOK,
                priority=priority,
            )
        except QuotaExceeded:
            return
        self.jobs[name] = len(texts)
        self.accepted += 1

    @rule(target=claims, model=st.sampled_from(MODELS), worker=st.sampled_from(WORKERS))
    def a_message_arrives(self, model: str, worker: str) -> Held | MultipleResults[Held]:
        """As often as you like: it is only a hint."""
        return self._given(worker, self.ledgers[worker].claim(model))

    def _given(self, worker: str, claim: Claim | None) -> Held | MultipleResults[Held]:
        if claim is None:
            return multiple()
        assert claim.epoch > self.newest.get(claim.segment_id, 0)
        self.newest[claim.segment_id] = claim.epoch
        self.claimed[claim.segment_id] += 1
        return worker, claim

    def _reports(self, claim: Claim, report: Callable[[], object]) -> bool:
        """Whether a report was taken; it must be if, and only if, the claim holds."""
        held = self._holds(claim)
        try:
            report()
        except StaleClaim:
            assert not held
            return False
        assert held
        return True

    @rule(target=claims, held=claims)
    def commit(self, held: Held) -> Held | MultipleResults[Held]:
        """Again and again, too: a claim stays in the bundle."""
        worker, claim = held
        joins: list[Claim | None] = []
        self.reports += 1  # a key that was committed before would be the same step sent again
        result = SegmentResult(key=f"{claim.segment_id}-{self.reports}", samples=1)
        ledger = self.ledgers[worker]
        self.storage.put(result.key, b"")
        if not self._reports(claim, lambda: joins.append(ledger.commit(claim, result))):
            return multiple()
        self.committed[claim.segment_id] += 1
        return self._given(worker, joins[0])

    @rule(model=st.sampled_from(MODELS), worker=st.sampled_from(WORKERS), most=st.integers(1, 9))
    def some_are_spoken(self, model: str, worker: str, most: int) -> None:
        """Claimed and committed, up to `most` of them: else few jobs would come to an end."""
        for _ in range(most):
            claim = self.ledgers[worker].claim(model)
            while claim is not None:
                self._given(worker, claim)
                self.reports += 1
                result = SegmentResult(key=f"{claim.segment_id}-{self.reports}", samples=1)
                self.storage.put(result.key, b"")
                self.committed[claim.segment_id] += 1
                claim = self.ledgers[worker].commit(claim, result)

    @rule(held=claims)
    def release(self, held: Held) -> None:
        worker, claim = held
        self._reports(claim, partial(self.ledgers[worker].release, claim))

    @rule(held=consumes(claims))
    def fail(self, held: Held) -> None:
        worker, claim = held
        self._reports(claim, partial(self.ledgers[worker].fail, claim, "c", "m"))

    @rule(held=claims)
    def renew(self, held: Held) -> None:
        worker, claim = held
        lost = self.ledgers[worker].renew([claim])
        assert lost == ([] if self._holds(claim) else [claim])

    def _holds(self, claim: Claim) -> bool:
        status, epoch = self.redis.hmget(f"tts:segment:{claim.segment_id}", "status", "epoch")
        ended = self.redis.hget(f"tts:job:{claim.job_id}", "status") in (None, *TERMINAL)
        return status == Status.IN_PROGRESS and int(epoch) == claim.epoch and not ended

    @rule(which=st.integers(0, 9))
    def a_worker_dies(self, which: int) -> None:
        leased = self.redis.zrange("tts:leases", 0, -1)
        for segment in leased[which % 3 :: 3]:
            self.redis.zadd("tts:leases", {segment: 1})

    @rule(worker=st.sampled_from(WORKERS))
    def reconcile(self, worker: str) -> None:
        self.redis.delete("tts:reconciled_at")
        missing = dict(self.ledgers[worker].reconcile())
        queues, paused = self.redis.hgetall("tts:queues"), self.pauses.all()
        assert missing == {model: int(n) for model, n in queues.items() if model not in paused}
        assert self.redis.zcount("tts:leases", "-inf", 1) == 0

    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        if self.jobs:
            name = sorted(self.jobs)[which % len(self.jobs)]
            ended = self.ledger.job(name).status in TERMINAL
            assert self.ledger.cancel(name) is not ended

    @rule(which=st.integers(0, 99))
    def forget(self, which: int) -> None:
        if self.jobs:
            name = sorted(self.jobs)[which % len(self.jobs)]
            if self.ledger.forget(name):
                assert self.statuses[f"tts:job:{name}"] in TERMINAL
                for place in (*range(self.jobs.pop(name)), "join"):
                    assert not self.redis.exists(f"tts:segment:{name}:{place}")

    @rule(which=st.integers(0, 99), whole=st.booleans())
    def retry(self, which: int, whole: bool) -> None:
        if not self.jobs:
            return
        failed = [n for n in self.jobs if self.statuses[f"tts:job:{n}"] == Status.FAILED]
        if not failed and (claim := self.ledger.claim(MODELS[which % 2])) is not None:
            self._given("w1", claim)
            self.ledger.fail(claim, "c", "m")
            failed = [claim.job_id]
        candidates = sorted(failed or self.jobs)
        name = candidates[which % len(candidates)]
        before = self.ledger.job(name)
        try:
            self.repairs.retry(before, self.storage, whole=whole)
        except NotRetriable:
            assert before.status != Status.FAILED
            assert before.status in TERMINAL or not before.retries
            return
        after = self.ledger.job(name)
        if before.status != Status.FAILED:
            assert after.retries == before.retries
            return
        assert (after.status, after.retries) == (Status.QUEUED, before.retries + 1)
        self.retries[name] += 1
        self.statuses.pop(f"tts:job:{name}")
        for place in (*range(self.jobs[name]), "join"):
            status = self.statuses.pop(f"tts:segment:{name}:{place}", None)
            if whole and status == Status.COMPLETED:
                self.committed.pop(f"{name}:{place}")

    @rule(which=st.integers(0, 9))
    def requeue(self, which: int) -> None:
        leased = self.redis.zrange("tts:leases", 0, -1)
        if not leased:
            return
        segment = leased[which % len(leased)]
        ended = self.redis.hget(f"tts:job:{job_of(segment)}", "status") in (None, *TERMINAL)
        try:
            assert self.repairs.requeue(segment) in WORKERS
        except NotRunning:
            assert ended
        else:
            assert not ended
            assert self.redis.hget(f"tts:segment:{segment}", "status") == Status.QUEUED

    @rule(which=st.integers(0, 99), priority=st.sampled_from(Priority))
    def prioritise(self, which: int, priority: Priority) -> None:
        if not self.jobs:
            return
        name = sorted(self.jobs)[which % len(self.jobs)]
        ended = self.ledger.job(name).status in TERMINAL
        try:
            self.repairs.prioritise(name, priority)
        except JobEnded:
            assert ended
        else:
            assert not ended
            assert self.ledger.job(name).priority == priority

    @rule(model=st.sampled_from(MODELS), is_short=st.booleans())
    def pause(self, model: str, is_short: bool) -> None:
        # A card, as a worker leaves one: a model that was never offered is not paused.
        self.redis.hset("tts:models", model, "{}")
        self.pauses.pause(model)
        assert self.ledger.claim(model) is None
        if is_short:
            self.pauses.resume(model)

    @rule(model=st.sampled_from(MODELS))
    def resume(self, model: str) -> None:
        self.redis.hset("tts:models", model, "{}")
        self.pauses.resume(model)

    @rule(how=st.sampled_from(("done", "again", "dies")))
    def an_event_is_delivered(self, how: str) -> None:
        event = self.events.take()
        if event is None:
            return
        if how == "done":
            self.events.done(event)
            self.told[f"{event.job} {event.type} {event.id}"] += 1
        elif how == "again":
            self.events.again(event, 0)
        else:
            self.redis.delete(f"tts:webhook_busy:{event.receiver}")
            self.redis.zadd("tts:webhooks", {event.receiver: 1})

    @invariant()
    def each_change_waits_to_be_told_or_was_told_once(self) -> None:
        state = LedgerState.read(self.redis)
        found = Counter(
            f"{event['job']} {event['type']} {event['id']}" for event in state.events.values()
        )
        found += self.told
        assert all(count == 1 for count in found.values())
        for name, job in state.jobs.items():
            happened = {"job.in_progress"} if "started_at" in job else set()
            if job["status"] in TERMINAL:
                happened.add(f"job.{job['status']}")
            told = [line.split()[1] for line in found if line.startswith(f"{name} ")]
            assert happened <= set(told)
            assert "retries" in job or sorted(happened) == sorted(told)
            # Each retry comes after a failure of its own.
            assert told.count("job.failed") >= int(job.get("retries", 0))

    @invariant()
    def the_state_is_sound(self) -> None:
        state = LedgerState.read(self.redis)
        state.check()
        open_jobs, open_chars = state.hash("tts:open_jobs"), state.hash("tts:open_chars")
        # A retry is not bound by them.
        again = sum(self.retries.values())
        assert all(int(count) <= LIMITS.owner_jobs + again for count in open_jobs.values())
        most_chars = LIMITS.owner_chars + MAX_JOB_CHARS * again
        assert all(int(count) <= most_chars for count in open_chars.values())
        for key, after in state.statuses.items():
            before = self.statuses.get(key)
            # A step may pass through several statuses, but never comes out of an end.
            assert before is None or before == after or TRANSITIONS[before], (key, before)
        self.statuses = state.statuses

    @invariant()
    def a_history_tells_each_claim_and_each_end_once(self) -> None:
        state, claimed = LedgerState.read(self.redis), Counter[str]()
        histories = self.redis.keys(keys.history("*"))
        assert set(histories) == set(map(keys.history, state.jobs))
        for name, job in state.jobs.items():
            told = [entry for _, entry in self.ledger.history(name).entries]
            claimed += Counter(f"{name}:{one.segment}" for one in told if one.event == "claimed")
            ends = [one.event for one in told if one.event in TERMINAL]
            retried = [one for one in told if one.event == "retried"]
            assert len(retried) == int(job.get("retries", 0))
            is_end = job["status"] in TERMINAL
            assert ends == ["failed"] * len(retried) + [job["status"]] * is_end
            assert [one.event for one in told[:2]] == ["accepted", "queued"]
        mine = {s: n for s, n in self.claimed.items() if s.rsplit(":", 1)[0] in state.jobs}
        assert claimed == Counter(mine)

    @invariant()
    def a_segment_is_committed_once(self) -> None:
        assert all(count == 1 for count in self.committed.values())

    def teardown(self) -> None:
        """Whatever has happened, the rest can still be done, and every job ends."""
        try:
            self._finish()
        except QueueError as error:
            raise AssertionError("what was left could not be done") from error

    def _finish(self) -> None:
        for segment in self.redis.zrange("tts:leases", 0, -1):
            self.redis.zadd("tts:leases", {segment: 1})
        for model in MODELS:
            self.resume(model)
        self.redis.delete("tts:reconciled_at", *self.redis.keys("tts:reservation:*"))
        self.ledger.reconcile()
        for model in MODELS:
            claim = self.ledger.claim(model)
            while claim is not None:
                join = self.ledger.commit(claim, SegmentResult(key="k", samples=1))
                claim = join or self.ledger.claim(model)
        for key in self.redis.keys("tts:job:*"):
            assert self.redis.hget(key, "status") in TERMINAL


@pytest.mark.usefixtures("redis")
def test_the_ledger_stays_sound(redis: Redis, spec: SpeechSpec) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(redis, spec),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
