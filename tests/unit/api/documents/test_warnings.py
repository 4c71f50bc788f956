from api.documents.warnings import MAX_MESSAGE_CHARS, MAX_WARNINGS, MAX_WHERE_CHARS, WarningLog
from shared.document import DocumentWarning


def test_a_warning_is_listed_once_and_in_order() -> None:
    log = WarningLog()
    for where in ("b", "a", "b", None):
        log.add("bad_bytes", "a byte is no text", where)
    assert [warning.where for warning in log.listed()] == ["b", "a", None]
    assert WarningLog().listed() == ()


def test_of_too_many_warnings_the_number_is_told() -> None:
    log = WarningLog()
    for number in range(MAX_WARNINGS + 7):
        log.add("missing_page", "is missing", f"{number}.xhtml")
    *listed, last = log.listed()
    assert len(listed) == MAX_WARNINGS
    assert last == DocumentWarning("more_warnings", "7 more warnings are not listed")


def test_a_warning_is_short_and_printable() -> None:
    log = WarningLog()
    log.add("x", "a\x1b[31m\n" + "b" * 1_000, "\ud800" + "c" * 1_000)
    (warning,) = log.listed()
    assert (len(warning.message), len(warning.where or "")) == (MAX_MESSAGE_CHARS, MAX_WHERE_CHARS)
    assert (warning.message + (warning.where or "")).isprintable()
