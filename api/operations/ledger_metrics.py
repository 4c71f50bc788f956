"""The figures of the ledgers as metrics; every API process shows the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.jobs import Priority, Status
from shared.speech_model import SAMPLE_RATE
from shared.store.queue_figures import LedgerEvent, Queue, QueueFigures

NONE = ("-",)
Labels = tuple[str, ...]
Values = Mapping[Labels, float]


class Counted(NamedTuple):
    """A counter of the ledger: its event there, its name and its text here.

    `label` is what the detail of the event is called; the `details` that are known are shown from
    the start, so that the first event is a change from 0. `per` of the ledger's units are one here.
    """

    event: str
    name: str
    text: str
    label: str | None = None
    details: tuple[str, ...] = NONE
    per: int = 1
    has_model: bool = True

    @property
    def labels(self) -> Labels:
        """The names of its labels."""
        model = ("model",) if self.has_model else ()
        return ("ledger", *model, *((self.label,) if self.label else ()))

    def counts(self, figures: QueueFigures) -> dict[LedgerEvent, int]:
        """The count of each of its events, 0 of those that are known."""
        models = figures.workers if self.has_model else NONE
        known = {LedgerEvent(self.event, one, model): 0 for model in models for one in self.details}
        return known | {kind: n for kind, n in figures.counts.items() if kind.event == self.event}


OUTCOMES = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
COUNTERS = (
    Counted("jobs_accepted", "tts_jobs_accepted", "Jobs accepted", "priority", tuple(Priority)),
    Counted("jobs_ended", "tts_jobs_ended", "Jobs ended", "outcome", OUTCOMES),
    Counted("jobs_failed", "tts_jobs_failed", "Jobs failed, by the error's code", "reason", ()),
    Counted("segments_completed", "tts_segments_completed", "Segments committed"),
    Counted("samples", "tts_audio_seconds", "Audio committed", per=SAMPLE_RATE),
    Counted("segments_truncated", "tts_segments_truncated", "Segments cut at their bound"),
    Counted(
        "segments_requeued",
        "tts_segments_requeued",
        "Segments put back into the queue",
        "reason",
        ("lost", "failed", "released", "unreadable"),
    ),
    Counted("segments_retried", "tts_segments_retried", "Claims after a first attempt"),
    Counted(
        "segments_given_up",
        "tts_segments_given_up",
        "Segments whose last attempt came to nothing",
        "reason",
        ("lost", "failed"),
    ),
    Counted(
        "commits_refused",
        "tts_commits_refused",
        "Results that came after the lease was lost, or the job had ended",
        "reason",
        ("superseded", "ended"),
    ),
    Counted(
        "webhook_attempts",
        "tts_webhook_deliveries",
        "Attempts to deliver a webhook",
        "outcome",
        ("delivered", "failed", "given_up"),
        has_model=False,
    ),
)


class Gauge(NamedTuple):
    """A state of the ledger: its values by `labels`, which come after that of the ledger."""

    name: str
    text: str
    labels: Labels
    values: Callable[[QueueFigures], Values]


def _by_queue(figures: QueueFigures, counts: Mapping[Queue, int]) -> Values:
    """The counts by model and priority, 0 where a known model has none."""
    zeros = {Queue(model, each): 0 for model in figures.workers for each in Priority}
    return {tuple(queue): count for queue, count in (zeros | dict(counts)).items()}


def _by_model(values: Mapping[str, float]) -> Values:
    return {(model,): value for model, value in values.items()}


def _memory(figures: QueueFigures, index: int) -> Values:
    return {} if figures.memory is None else {(): figures.memory[index]}


QUEUE = ("model", "priority")
GAUGES = (
    Gauge("tts_segments_queued", "Segments that wait", QUEUE, lambda f: _by_queue(f, f.waiting)),
    Gauge("tts_segments_running", "Leased segments", QUEUE, lambda f: _by_queue(f, f.running)),
    Gauge(
        "tts_oldest_wait_seconds",
        "Longest time since a job with waiting segments had its last turn",
        ("model",),
        lambda figures: _by_model(figures.oldest_s),
    ),
    Gauge("tts_workers", "Live workers", ("model",), lambda f: _by_model(f.workers)),
    Gauge("tts_jobs_open", "Jobs that have not ended", (), lambda f: {(): f.jobs_open}),
    Gauge(
        "tts_webhook_receivers_waiting",
        "Receivers with webhooks to be delivered",
        (),
        lambda figures: {(): figures.receivers_waiting},
    ),
    Gauge("tts_redis_memory_bytes", "Memory that Redis uses", (), lambda f: _memory(f, 0)),
    Gauge(
        "tts_redis_memory_max_bytes",
        "maxmemory of Redis; 0: no limit",
        (),
        lambda figures: _memory(figures, 1),
    ),
)


class LedgerScrape(NamedTuple):
    """One ledger's figures, None if Redis did not give them, and whether each check passes."""

    figures: QueueFigures | None
    checks: Mapping[str, bool]


class LedgerCollector(Collector):
    """The metrics of the ledgers, by their names; one without figures has the first two only."""

    def __init__(self, ledgers: Mapping[str, LedgerScrape]) -> None:
        self._ledgers = ledgers
        self._known = {
            name: scrape.figures for name, scrape in ledgers.items() if scrape.figures is not None
        }

    def collect(self) -> Iterator[Metric]:
        """Yield each family."""
        ups: Values = {
            (name,): scrape.figures is not None for name, scrape in self._ledgers.items()
        }
        yield _family("tts_redis_up", "1 if Redis answered this scrape", (), ups)
        checks: Values = {
            (name, check): ok
            for name, scrape in self._ledgers.items()
            for check, ok in scrape.checks.items()
        }
        yield _family("tts_check_ok", "1 if a check of /readyz passes", ("check",), checks)
        for gauge in GAUGES:
            values = {
                (ledger, *labels): value
                for ledger, figures in self._known.items()
                for labels, value in gauge.values(figures).items()
            }
            yield _family(gauge.name, gauge.text, gauge.labels, values)
        for counted in COUNTERS:
            yield self._counter(counted)

    def _counter(self, counted: Counted) -> Metric:
        family = CounterMetricFamily(counted.name, counted.text, labels=counted.labels)
        for ledger, figures in self._known.items():
            for (_, detail, model), count in counted.counts(figures).items():
                has = {"ledger": ledger, "model": model, counted.label: detail}
                family.add_metric([has[label] for label in counted.labels], count / counted.per)
        return family


def _family(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["ledger", *labels])
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
