"""The client that openapi-python-client wrote into the current folder, with default options."""

import io
import json
import sys
from pathlib import Path

sys.path.insert(0, "qwen-tts-queue-client")

from qwen_tts_queue_client import AuthenticatedClient
from qwen_tts_queue_client.api.jobs import get_job, submit_job
from qwen_tts_queue_client.api.results import get_job_audio
from qwen_tts_queue_client.api.speech import create_speech
from qwen_tts_queue_client.models import (
    CustomVoice,
    ErrorBody,
    JobObject,
    SpeechRequest,
    SubmitJobFilesBody,
    SubmitJobFilesBodyTask,
)
from qwen_tts_queue_client.types import File

ENDED = ("completed", "failed", "cancelled")


def wait(job: JobObject | ErrorBody | None) -> JobObject:
    while not isinstance(job, JobObject) or job.status not in ENDED:
        assert isinstance(job, JobObject), job
        job = get_job.sync(job.id, client=client, prefer="wait=10")
    return job


with AuthenticatedClient(sys.argv[1], token="any", timeout=60) as client:
    request = CustomVoice(task="custom_voice", input_="The lamp was lit.", voice="vivian")
    submitted = wait(submit_job.sync(client=client, body=request, cancel_after="5m"))
    # The generator knows no types of audio: the sound is the content of a response.
    content = get_job_audio.sync_detailed(submitted.id, client=client)
    Path("job.wav").write_bytes(content.content)

    book = File(
        io.BytesIO(b"# One\n\nIt went out."), file_name="book.md", mime_type="text/markdown"
    )
    form = SubmitJobFilesBody(task=SubmitJobFilesBodyTask.CUSTOM_VOICE, file=book, voice="vivian")
    uploaded = wait(submit_job.sync(client=client, body=form))

    speech = SpeechRequest(input_="The lamp was lit.", voice="alloy")
    Path("speech.mp3").write_bytes(create_speech.sync_detailed(client=client, body=speech).content)

    wrong = submit_job.sync(
        client=client, body=CustomVoice(task="custom_voice", input_="A.", voice="x")
    )
    assert isinstance(wrong, ErrorBody), wrong

print(
    json.dumps(
        {
            "id": submitted.id,
            "statuses": [submitted.status, uploaded.status],
            "chapters": [chapter.title for chapter in uploaded.chapters],
            "refused": wrong.error.param,
        }
    )
)
