"""The options of one reading of a document, and the warnings that come up in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from api.documents.warnings import WarningLog
from api.text.scripts import unspoken_script


class Notes(StrEnum):
    """The treatment of footnotes and endnotes: left out, or spoken where they stand."""

    SKIP = "skip"
    READ = "read"


class Images(StrEnum):
    """The treatment of pictures: left out, or their descriptions (`alt`) spoken."""

    SKIP = "skip"
    ALT = "alt"


class FrontMatter(StrEnum):
    """The treatment of front and back matter such as a copyright page or an index."""

    SKIP = "skip"
    READ = "read"


@dataclass(frozen=True)
class ReadingOptions:
    """The choices of a client; `chapters` are numbers of sections such as `3-7,9`, None for all."""

    notes: Notes = Notes.SKIP
    images: Images = Images.SKIP
    front_matter: FrontMatter = FrontMatter.SKIP
    chapters: str | None = None


DEFAULT_OPTIONS = ReadingOptions()


@dataclass(frozen=True)
class Reading:
    """A reading of at most `max_chars` characters; `charset` is a name of its encoding."""

    max_chars: int
    options: ReadingOptions = DEFAULT_OPTIONS
    charset: str | None = None
    warnings: WarningLog = field(default_factory=WarningLog)


def warn_of_notes(skipped: int, reading: Reading) -> None:
    """Warn of notes that are left out, if there are any."""
    if skipped:
        notes = "1 note is" if skipped == 1 else f"{skipped:,} notes are"
        reading.warnings.add("notes_skipped", f"{notes} left out; `notes: read` has them spoken")


def warn_of_scripts(text: str, reading: Reading) -> None:
    """Warn of letters of a script that no model speaks, such as Arabic."""
    if found := unspoken_script(text):
        reading.warnings.add(
            "script_not_spoken",
            f"{found.letters:,} letters are in a script that the models do not speak "
            f"({found.script}): they may be left out or spoken wrongly",
        )


def warn_of_marks(unlinked: int, reading: Reading) -> None:
    """Warn of marks that were taken for those of notes, though no note is known."""
    if unlinked:
        told = f"numbers that were taken for marks of notes, which are not there: {unlinked:,}"
        reading.warnings.add("note_marks_skipped", told)
