import pytest

from benchmarks.workload import Workload, count_workload
from worker.checkpoints.codec_configs import codec_config
from worker.checkpoints.configs import model_config

FRAMES_PER_S = 12.5


@pytest.fixture(scope="module")
def small() -> Workload:
    return count_workload(model_config("0.6B", "custom_voice"), codec_config("0.6B"))


def test_step_reads_the_weights_of_the_predictor_in_each_pass(small: Workload) -> None:
    talker, predictor_pass, heads = 440_401_920, 78_643_200, (3072 + 15 * 2048) * 1024
    assert small.step_weights == talker + 15 * predictor_pass + heads
    assert small.step_weights == pytest.approx(1.65e9, rel=0.01)
    assert small.prompt_weights == talker


def test_frame_multiplies_each_weight_once_and_the_first_pass_has_two_positions(
    small: Workload,
) -> None:
    again = 2 * 78_643_200
    assert small.frame_operations == 2 * small.step_weights + again
    assert small.frame_operations - again == pytest.approx(3.3e9, rel=0.01)


def test_second_of_sound_takes_62_giga_operations_of_the_codec(small: Workload) -> None:
    assert small.codec_operations * FRAMES_PER_S == pytest.approx(62e9, rel=0.01)
    assert 80e6 < small.codec_weights < 114_323_137  # less than all: codebooks are looked up


def test_projection_between_unequal_widths_is_part_of_each_pass() -> None:
    large = count_workload(model_config("1.7B", "base"), codec_config("0.6B"))
    layers, projection = 78_643_200, 2048 * 1024
    heads = 3072 * 2048 + 15 * 2048 * 1024
    assert large.step_weights == large.prompt_weights + 15 * (layers + projection) + heads
