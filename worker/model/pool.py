"""The models of a worker: which of them are loaded, within a budget, and which one is next.

A model's time slice begins when it is loaded. It ends after `MIN_SLICE_S` seconds, or
`LOADS_PER_SLICE` times as long as the loading took, or at once when nothing waits for the model and
nothing of it is spoken. Models that wait for memory get it in the order in which something began to
wait for them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from shared.models import ModelCard
from worker.engine.engine import Engine
from worker.engine.errors import Closed
from worker.engine.request import Speech, SynthesisRequest
from worker.model.cpu import give_memory_back
from worker.model.loading import ModelUnavailable
from worker.model.size import GIB, in_gib

MIN_SLICE_S = 10.0
# So that loading takes a fifth of the time at the most, however long it takes.
LOADS_PER_SLICE = 4
_log = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    """A model's card, and the engine that speaks with it."""

    card: ModelCard
    engine: Engine


class EngineHold:
    """An engine that stays loaded while this is held, or None of a model that is not loaded.

    The engine can be reached through this only: a reference that a task keeps would keep the
    memory of a model that is dropped.
    """

    def __init__(self, engine: Engine | None) -> None:
        self._engine = engine

    @property
    def is_loaded(self) -> bool:
        """True until it is let go, if the model was loaded."""
        return self._engine is not None

    def submit(self, request: SynthesisRequest) -> Future[Speech]:
        """Queue a request as `Engine.submit` does; raises `Closed` once it is let go."""
        if self._engine is None:
            raise Closed("the model is not loaded")
        return self._engine.submit(request)

    def let_go(self) -> None:
        """Forget the engine."""
        self._engine = None


@dataclass(eq=False)
class _Place:
    """The state of a model; times are of the pool's clock."""

    size_bytes: int
    loaded: LoadedModel | None = None
    holds: int = 0
    is_leaving: bool = False
    used_s: float = 0.0
    slice_ends_s: float = 0.0
    waits_since_s: float | None = None


class ModelPool:
    """The models of a worker by their ids; `hold` may be called from any thread.

    `sizes` has the bytes of each model, `load` loads one. Of the loaded models, those that were
    used least recently are dropped, and only when another one is needed and does not fit into
    `budget_bytes`. Without a budget all stay loaded. Raises `ModelUnavailable` for a model that
    does not even fit alone.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        load: Callable[[str], LoadedModel],
        *,
        budget_bytes: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        free_memory: Callable[[], None] = give_memory_back,
    ) -> None:
        self._budget_bytes = float("inf") if budget_bytes is None else budget_bytes
        for model, size_bytes in sizes.items():
            if size_bytes > self._budget_bytes:
                raise ModelUnavailable(
                    f"{model} takes {in_gib(size_bytes)}, and TTS_MODEL_MEMORY is"
                    f" {self._budget_bytes / GIB:g} GiB: raise it, choose a smaller"
                    " TTS_PRECISION, or leave this model out"
                )
        self._places = {model: _Place(size_bytes) for model, size_bytes in sizes.items()}
        self._load_model = load
        self._clock = clock
        self._free_memory = free_memory
        self._changed = threading.Condition()
        self._has_failed = False

    @property
    def fits_whole(self) -> bool:
        """True if all models fit into the budget together."""
        return sum(place.size_bytes for place in self._places.values()) <= self._budget_bytes

    @property
    def models(self) -> list[str]:
        """The ids of all models."""
        return list(self._places)

    @property
    def loaded(self) -> list[str]:
        """The ids of the models that are loaded and take requests."""
        return [model for model in self._places if self.is_loaded(model)]

    def is_loaded(self, model: str) -> bool:
        """True if a model takes requests: it is loaded, and not about to be dropped."""
        place = self._places[model]
        return place.loaded is not None and not place.is_leaving

    @property
    def is_alive(self) -> bool:
        """False once the engine of a loaded model has ended, or a model could not be loaded."""
        with self._changed:  # an engine that is dropped meanwhile has not ended by itself
            return not self._has_failed and all(engine.is_alive for engine in self._engines())

    @property
    def stalled_s(self) -> float:
        """The longest `Engine.stalled_s` of the loaded models."""
        return max((engine.stalled_s for engine in self._engines()), default=0.0)

    def load_each(self) -> list[ModelCard]:
        """Load each model once, so that one that cannot be loaded is known; returns their cards.

        At the end the first ones are loaded, as many as fit. Raises `ModelUnavailable`.
        """
        cards = {}
        for model in reversed(self._places):
            for other in self._least_recent(model):
                self._drop(other)
            cards[model] = self._load(model).card
        return [cards[model] for model in self._places]

    @contextmanager
    def hold(self, model: str) -> Iterator[EngineHold]:
        """Hold a model's engine, which is not dropped meanwhile; an empty hold if it is not loaded.

        Returns at once.
        """
        place = self._places[model]
        with self._changed:
            loaded = place.loaded if not place.is_leaving else None
            held = EngineHold(None if loaded is None else loaded.engine)
            del loaded
            place.holds += held.is_loaded
        if not held.is_loaded:
            yield held
            return
        try:
            yield held
        finally:
            held.let_go()
            with self._changed:
                place.holds -= 1
                place.used_s = self._clock()
                self._changed.notify_all()

    def change(self, waiting: Mapping[str, int]) -> str | None:
        """Load the model that is next, if any, once the time slices of those in its way are over.

        `waiting` has the number of segments that wait for each model. What is spoken with a model
        that is to be dropped ends first; nothing more is begun with it. Returns the loaded model.
        """
        with self._changed:
            wanted = self._next(waiting)
            if wanted is None:
                return None
            leaving = self._least_recent(wanted)
            for model in leaving:
                place = self._places[model]
                has_work = place.holds or waiting.get(model)
                if has_work and self._clock() < place.slice_ends_s:
                    return None
            for model in leaving:
                self._places[model].is_leaving = True
        for model in leaving:
            self._drop(model)
        self._load(wanted)
        return wanted

    def close(self) -> None:
        """Finish what was submitted, then stop every engine."""
        for engine in self._engines():
            engine.close()

    def _engines(self) -> list[Engine]:
        loaded = [place.loaded for place in self._places.values()]
        return [each.engine for each in loaded if each is not None]

    def _next(self, waiting: Mapping[str, int]) -> str | None:
        """The model that something has waited for the longest, of those that are not loaded."""
        now_s = self._clock()
        since_s = {}
        for model, place in self._places.items():
            is_wanted = waiting.get(model, 0) > 0
            if place.loaded is not None or not is_wanted:
                place.waits_since_s = None
                if is_wanted or place.holds:
                    place.used_s = now_s
                continue
            if place.waits_since_s is None:
                place.waits_since_s = now_s
            since_s[model] = place.waits_since_s
        return min(since_s, key=lambda model: since_s[model], default=None)

    def _least_recent(self, wanted: str) -> list[str]:
        """The models to be dropped for `wanted`: as few as make room, least recently used first."""
        loaded = [model for model, place in self._places.items() if place.loaded is not None]
        loaded.sort(
            key=lambda model: (self._places[model].used_s, self._places[model].slice_ends_s)
        )
        taken = sum(self._places[model].size_bytes for model in [*loaded, wanted])
        leaving: list[str] = []
        for model in loaded:
            if taken <= self._budget_bytes:
                break
            leaving.append(model)
            taken -= self._places[model].size_bytes
        # After a small one a large one may have had to go, which makes room for both.
        for model in leaving[::-1]:
            if taken + self._places[model].size_bytes <= self._budget_bytes:
                leaving.remove(model)
                taken += self._places[model].size_bytes
        return leaving

    def _drop(self, model: str) -> None:
        place = self._places[model]
        with self._changed:
            place.is_leaving = True
            self._changed.wait_for(lambda: not place.holds)
            loaded, place.loaded = place.loaded, None
            place.is_leaving = False
        if loaded is not None:
            loaded.engine.close()
        del loaded
        self._free_memory()
        _log.info("Dropped %s, which took %s", model, in_gib(place.size_bytes))

    def _load(self, model: str) -> LoadedModel:
        place, began_s = self._places[model], self._clock()
        try:
            loaded = self._load_model(model)
        except BaseException:
            self._has_failed = True
            raise
        now_s = self._clock()
        took_s = now_s - began_s
        with self._changed:
            place.loaded, place.waits_since_s, place.used_s = loaded, None, now_s
            place.slice_ends_s = now_s + max(MIN_SLICE_S, LOADS_PER_SLICE * took_s)
        return loaded
