"""An LRU cache with single flight."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlightLRU(Generic[T]):
    """The `max_values` values that were asked for last, by key; may be used from any thread."""

    def __init__(self, max_values: int) -> None:
        self._max_values = max_values
        self._values: OrderedDict[Hashable, Future[T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, making it if it is not there.

        Single flight: concurrent callers for one key share one call of `make`.
        """
        with self._lock:
            future = self._values.get(key)
            is_new = future is None
            if future is None:
                future = self._values[key] = Future()
            self._values.move_to_end(key)
            while len(self._values) > self._max_values:
                self._values.popitem(last=False)
        if is_new:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - raised again by `result`
                future.set_exception(error)
                self.drop(key)
        return future.result()

    def drop(self, key: Hashable) -> None:
        """Forget the value of a key, if there is one."""
        with self._lock:
            self._values.pop(key, None)
