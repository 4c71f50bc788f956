"""A pipeline of pipecat's; its user gives OpenAITTSService a `base_url` and an `api_key`."""

import asyncio
import json
import os
import wave

from pipecat.frames.frames import EndFrame, ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.runner import PipelineRunner
from pipecat.pipeline.task import PipelineParams, PipelineTask
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.openai.tts import OpenAITTSService


class Listener(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.sound, self.errors = bytearray(), []

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.sound += frame.audio
        if isinstance(frame, ErrorFrame):
            self.errors.append(frame.error)
        await self.push_frame(frame, direction)


async def main() -> None:
    speaker = OpenAITTSService(
        api_key="any",
        base_url=os.environ["OPENAI_BASE_URL"],
        settings=OpenAITTSService.Settings(voice="nova"),
    )
    listener, errors = Listener(), []
    task = PipelineTask(
        Pipeline([speaker, listener]), params=PipelineParams(audio_out_sample_rate=24_000)
    )

    @task.event_handler("on_pipeline_error")
    async def on_error(_task, frame):
        errors.append(frame.error)

    # The second is what pipelines send when a model answers with an emoji.
    await task.queue_frames(
        [TTSSpeakFrame("The lamp was lit."), TTSSpeakFrame("🙂"), TTSSpeakFrame("…"), EndFrame()]
    )
    await PipelineRunner(handle_sigint=False).run(task)
    with wave.open("spoken.wav", "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(listener.sound)
    print(json.dumps({"errors": listener.errors + errors}))


asyncio.run(main())
