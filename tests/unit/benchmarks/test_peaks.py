import time

import pytest

from benchmarks import peaks
from benchmarks.peaks import Run, higher_peaks, peak
from benchmarks.roofline import Peak
from worker.engine.kernels.compiler import CannotCompile


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "TIMED_S", 1e-6)


def without_compiler() -> Run:
    raise CannotCompile("there is no C++ compiler")


def test_peak_is_of_the_fastest_and_says_which() -> None:
    found = peak(
        1_000_000_000,
        {"slow": lambda: lambda: time.sleep(0.3), "fast": lambda: lambda: time.sleep(0.01)},
    )
    assert found.by == "fast"
    assert 0 < found.giga_per_s <= 100


def test_product_that_cannot_be_compiled_is_left_out() -> None:
    found = peak(10**9, {"ours": without_compiler, "torch's": lambda: lambda: time.sleep(0.01)})
    assert found.by == "torch's"


def test_higher_of_two_peaks_counts() -> None:
    quiet = {"int8": Peak(600, "a"), "memory": Peak(20, "b")}
    disturbed = {"int8": Peak(300, "c"), "memory": Peak(25, "d")}
    assert higher_peaks(quiet, disturbed) == {"int8": Peak(600, "a"), "memory": Peak(25, "d")}
