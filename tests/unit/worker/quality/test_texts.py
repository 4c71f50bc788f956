from api.text.segmentation import split
from shared.settings import Settings
from worker.quality.texts import segments, sentences


def test_there_are_100_sentences_each_once() -> None:
    found = sentences(100)
    assert len(set(found)) == 100
    assert all(text[0].isupper() and text[-1] == "." and text.isascii() for text in found)
    assert sentences(3) == found[:3]


def test_sentences_are_joined_up_to_the_limit() -> None:
    assert list(segments(["I am.", "You are.", "It is."], 14)) == ["I am. You are.", "It is."]
    assert list(segments(["I am.", "You are."], 3)) == ["I am.", "You are."]
    assert list(segments([], 14)) == []


def test_each_joined_text_is_one_segment_of_a_service() -> None:
    limit = Settings.model_fields["max_segment_chars"].default
    found = list(segments(sentences(100), limit))
    assert " ".join(found) == " ".join(sentences(100))
    assert 18 <= len(found) <= 22
    for text in found:
        assert [segment.text for segment in split(text, "english", limit)] == [text]
