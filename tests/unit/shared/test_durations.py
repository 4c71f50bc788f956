import pytest

from shared.durations import frame_bound


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("Hi.", (4, 6)), ("a" * 240, (40, 70)), ("字" * 60, (40, 70)), ("a" * 9_999, (163, 164))],
)
def test_the_frame_bound_grows_with_the_text(text: str, seconds: tuple[int, int]) -> None:
    least, most = seconds
    assert least <= frame_bound(text) * 0.08 <= most
