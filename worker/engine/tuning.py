"""The fastest of several candidates on this processor, found by timing them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from worker.engine.kernels.compiler import CannotCompile

# A run is repeated for so long: what else the machine does makes it slower only.
TIMED_S = 0.06
_log = logging.getLogger(__name__)

T = TypeVar("T")
Run = Callable[[], object]
# Answers by question, of this process and of those before it on this machine.
Answers = MutableMapping[str, str]


class Candidate(NamedTuple, Generic[T]):
    """A choice, and what `prepare` makes to time it: a run of one row, and one of many.

    `prepare` raises `CannotCompile` if the processor or the compiler cannot do it.
    """

    name: str
    choice: T
    prepare: Callable[[], Sequence[Run]]


def fastest(question: str, candidates: Sequence[Candidate[T]], answers: Answers) -> Candidate[T]:
    """The candidate that is the fastest over all its runs, each as important as the other.

    An answer that is known is not looked for again. It is not kept if a candidate could not be
    compiled, since that may work at the next start. Raises `CannotCompile` if no candidate works.
    """
    known = answers.get(question)
    for candidate in candidates:
        if candidate.name == known:
            return candidate
    timed: dict[int, list[float]] = {}
    reasons = []
    for number, candidate in enumerate(candidates):
        try:
            timed[number] = [best_s(run) for run in candidate.prepare()]
        except CannotCompile as error:
            reasons.append(error)
    if not timed:
        raise reasons[0]
    shortest = [min(times) for times in zip(*timed.values(), strict=True)]

    def slowness(number: int) -> float:
        return math.fsum(own / least for own, least in zip(timed[number], shortest, strict=True))

    best = min(timed, key=slowness)
    told = [
        f"{candidates[number].name} {' and '.join(f'{1_000 * s:.1f}' for s in times)} ms"
        for number, times in timed.items()
    ]
    _log.info("Timed for %s: %s", question, "; ".join(told))
    if not reasons:
        answers[question] = candidates[best].name
    return candidates[best]


def best_s(run: Run) -> float:
    """Seconds of the shortest of several runs."""
    run()  # what is done once only
    times: list[float] = []
    while sum(times) < TIMED_S:
        began_s = time.perf_counter()
        run()
        times.append(time.perf_counter() - began_s)
    return min(times)
