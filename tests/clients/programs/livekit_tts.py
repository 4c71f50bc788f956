"""LiveKit's agents; their user gives `openai.TTS` a `base_url` and an `api_key`."""

import asyncio
import json
import os

from livekit.agents import APIStatusError
from livekit.plugins import openai

SERVER = {"base_url": os.environ["OPENAI_BASE_URL"], "api_key": "any"}


async def main() -> None:
    # Events for the first model, audio for the second; MP3 unless it is told otherwise.
    for name, options in {
        "events": {},
        "audio": {"model": "tts-1", "voice": "alloy"},
        "pcm": {"model": "tts-1", "voice": "alloy", "response_format": "pcm"},
        "instructed": {"voice": "sage", "instructions": "Softly.", "speed": 1.1},
    }.items():
        speaker = openai.TTS(**SERVER, **options)
        speaker.prewarm()
        spoken = await speaker.synthesize("The lamp was lit.").collect()
        with open(f"{name}.wav", "wb") as file:
            file.write(spoken.to_wav_bytes())
        await speaker.aclose()
    try:
        await openai.TTS(**SERVER, voice="nobody").synthesize("The lamp.").collect()
    except APIStatusError as error:
        print(json.dumps({"refused": error.status_code, "body": str(error.body)}))


asyncio.run(main())
