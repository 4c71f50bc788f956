import pytest

from benchmarks.step_times import MEASURED, StepTimes

TIMES = StepTimes(rows=(1, 4, 16), seconds=(0.1, 0.16, 0.4), prefill_s=0.05)


@pytest.mark.parametrize(
    ("rows", "seconds"), [(1, 0.1), (2, 0.12), (4, 0.16), (10, 0.28), (16, 0.4), (20, 0.48)]
)
def test_step_between_two_measured_ones_lies_on_the_line(rows: int, seconds: float) -> None:
    assert TIMES.step_s(rows) == pytest.approx(seconds)


def test_faster_engine_is_so_in_steps_and_prompts() -> None:
    fast = TIMES.faster(10)
    assert fast.step_s(10) == pytest.approx(0.028)
    assert fast.prefill_s == pytest.approx(0.005)


def test_measured_times_make_the_frames_of_the_table() -> None:
    assert 32 / MEASURED["int8"].step_s(32) == pytest.approx(51.7, rel=0.01)
    assert 16 / MEASURED["float32"].step_s(16) == pytest.approx(22.3, rel=0.01)
