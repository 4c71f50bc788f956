"""litellm; its user sets `api_base` and `api_key`, and `openai/` before the model."""

import asyncio
import json
import os

import litellm
import openai

SERVER = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": "any"}
TEXT = "The lamp was lit."

litellm.speech(model="openai/tts-1", voice="alloy", input=TEXT, **SERVER).write_to_file("a.mp3")
litellm.speech(
    model="openai/gpt-4o-mini-tts",
    voice="shimmer",
    input=TEXT,
    response_format="wav",
    speed=1.0,
    instructions="Softly.",
    **SERVER,
).write_to_file("b.wav")


async def speak_asynchronously() -> None:
    spoken = await litellm.aspeech(model="openai/tts-1", voice="alloy", input=TEXT, **SERVER)
    spoken.write_to_file("c.mp3")


asyncio.run(speak_asynchronously())
try:
    litellm.speech(model="openai/tts-1", voice="nobody", input=TEXT, **SERVER)
except openai.BadRequestError as error:
    print(json.dumps({"refused": str(error)}))
