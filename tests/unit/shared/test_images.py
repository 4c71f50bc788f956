"""The kind and size of a picture, by its first bytes."""

from __future__ import annotations

import pytest

from shared.images import MAX_COVER_BYTES, picture_of
from tests.support.pictures import jpeg, png


@pytest.mark.parametrize(
    ("content", "codec", "size"),
    [
        (png(), "png", (4, 6)),
        (png(300, 1), "png", (300, 1)),
        (jpeg(), "mjpeg", (4, 6)),
        (jpeg(1_000, 2_000), "mjpeg", (1_000, 2_000)),
        (jpeg().replace(b"\xff\xc0", b"\xff\xff\xc2"), "mjpeg", (4, 6)),  # with a fill byte
    ],
)
def test_a_jpeg_or_png_has_its_size(content: bytes, codec: str, size: tuple[int, int]) -> None:
    picture = picture_of(content)
    assert picture is not None
    assert (picture.codec, (picture.width, picture.height)) == (codec, size)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"GIF89a" + bytes(40), b"<svg/>", png()[:20], jpeg()[:12], jpeg()[:2]),
        *(png(0, 1), png(20_000, 1), jpeg(4, 0), png() + bytes(MAX_COVER_BYTES)),
    ],
)
def test_anything_else_is_no_picture(content: bytes) -> None:
    assert picture_of(content) is None
