from dataclasses import replace
from typing import Any

import pytest

from benchmarks.roofline import (
    Peak,
    codec_work,
    language_model_work,
    peak_operations,
    roofline_figures,
    work,
)
from benchmarks.workload import Workload

PEAKS = {
    "int8": Peak(600, "a"),
    "bfloat16": Peak(50, "b"),
    "float32": Peak(200, "c"),
    "memory": Peak(20, "d"),
}
LOAD = Workload(
    step_weights=1_650_000_000,
    frame_operations=3_450_000_000,
    prompt_weights=0,
    codec_weights=100_000_000,
    codec_operations=5_000_000_000,
)


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "system": "ours",
        "precision": "int8",
        "products": "kernel",
        "slots": 1,
        "frames": 60,
        "prompt_positions": 0,
        "lm_rtf": 1.2,
        "codec_rtf": 0.3,
        "rtf": 1.5,
    }
    return usual | changes


def test_work_takes_the_longer_of_reading_and_computing() -> None:
    assert work(6e9, 2e9, "int8", PEAKS).limit_s == pytest.approx(0.1)
    assert work(120e9, 2e9, "int8", PEAKS).limit_s == pytest.approx(0.2)


def test_precision_computes_in_a_wider_type_where_that_is_faster() -> None:
    assert peak_operations("bfloat16", PEAKS) == 200e9
    assert peak_operations("float32", PEAKS) == 200e9
    assert peak_operations("int8", PEAKS) == 600e9


def test_one_request_alone_waits_for_weights_of_each_frame() -> None:
    found = language_model_work(row(), LOAD, PEAKS)
    assert found.read_bytes == 60 * 1.65e9
    assert found.limit_s == pytest.approx(60 * 1.65 / 20)


def test_batch_reads_weights_once_for_all_of_its_rows() -> None:
    one, many = (language_model_work(row(slots=slots), LOAD, PEAKS) for slots in (1, 32))
    assert many.read_bytes == one.read_bytes
    assert many.intensity == 32 * one.intensity
    assert many.limit_s == pytest.approx(60 * 32 * 3.45 / 600)


@pytest.mark.parametrize(
    ("precision", "products", "size"),
    [
        ("int8", "fbgemm", 1),
        ("bfloat16", "onednn", 2),
        ("float32", "onednn", 4),
        ("float32", "float32 by torch", 4),
        ("float32", "kernel", 2),
    ],
)
def test_weights_have_the_size_that_the_row_keeps_them_in(
    precision: str, products: str, size: int
) -> None:
    found = language_model_work(row(precision=precision, products=products), LOAD, PEAKS)
    assert found.read_bytes == 60 * 1.65e9 * size


def test_prompts_count() -> None:
    load = replace(LOAD, prompt_weights=440_000_000)
    with_prompt = language_model_work(row(slots=4, prompt_positions=30), load, PEAKS)
    without = language_model_work(row(slots=4), LOAD, PEAKS)
    assert with_prompt.operations - without.operations == pytest.approx(2 * 440e6 * 4 * 30)
    assert with_prompt.read_bytes - without.read_bytes == pytest.approx(440e6)


def test_codec_reads_its_weights_once_for_a_chunk_of_all_streams() -> None:
    found = codec_work(row(slots=4), LOAD, PEAKS)
    assert found.operations == 5e9 * 60 * 4
    assert found.read_bytes == 100e6 * 60 / 4


def test_share_is_the_time_at_the_limit_by_the_time_measured() -> None:
    found = roofline_figures(row(), LOAD, PEAKS)
    lm_s, codec_s = 60 * 1.65 / 20, 60 * 5 / 600
    audio_s = 60 * 0.08
    assert found["lm_roofline_share"] == pytest.approx(lm_s / (1.2 * audio_s))
    assert found["codec_roofline_share"] == pytest.approx(codec_s / (0.3 * audio_s))
    assert found["roofline_share"] == pytest.approx((lm_s + codec_s) / (1.5 * audio_s))
    assert found["lm_gops"] == pytest.approx(60 * 3.45 / (1.2 * audio_s))


def test_row_at_the_limit_has_a_share_of_one() -> None:
    frame_s = 1.65 / 20 + 5 / 600
    found = roofline_figures(row(rtf=frame_s / 0.08, codec_rtf=0), LOAD, PEAKS)
    assert found == {"roofline_share": pytest.approx(1)}


def test_row_of_another_engine_has_no_share() -> None:
    assert roofline_figures({"system": "vox", "rtf": 2.0}, LOAD, PEAKS) == {}
