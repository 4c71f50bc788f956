"""The public view of a job."""

from __future__ import annotations

import pytest

from api.jobs.responses import JobObject
from shared.document import DocumentWarning
from shared.jobs import Job, Outline, SpeechSpec, Status
from shared.speech_model import Task

NOTE = DocumentWarning("notes_skipped", "1 note is left out")


@pytest.mark.parametrize(
    ("truncated", "live", "told"),
    [(0, False, None), (1, False, "1 segment was cut"), (2, True, "2 segments were cut")],
)
def test_a_segment_that_was_cut_is_a_warning(truncated: int, live: bool, told: str | None) -> None:
    spec = SpeechSpec(task=Task.CUSTOM_VOICE, model="tiny", voice="vivian", live=live)
    job = Job(
        id="job_1",
        status=Status.IN_PROGRESS,
        spec=spec,
        outline=Outline(warnings=(NOTE,)),
        seen_at=2,
        created_at=1,
        total=3,
        truncated=truncated,
    )
    first, *more = JobObject.of(job, 60, "").warnings
    assert first.code == "notes_skipped"
    assert [warning.code for warning in more] == ["truncated"] * bool(truncated)
    assert all(warning.message.startswith(told or "") for warning in more)
