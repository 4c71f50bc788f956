"""OpenAI's package for Python; OPENAI_BASE_URL and OPENAI_API_KEY are all that its user sets."""

import asyncio
import base64
import json

import openai

TEXT = "The lamp was lit."
client = openai.OpenAI()

with client.audio.speech.with_streaming_response.create(
    model="gpt-4o-mini-tts",
    voice="coral",
    input=TEXT,
    instructions="Speak in a cheerful and positive tone.",
) as response:
    response.stream_to_file("streamed.mp3")

for kind in ("mp3", "opus", "aac", "flac", "wav"):
    spoken = client.audio.speech.create(
        model="tts-1", voice="alloy", input=TEXT, response_format=kind
    )
    spoken.write_to_file(f"{kind}.{kind}")

with client.audio.speech.with_streaming_response.create(
    model="gpt-4o-mini-tts",
    voice="alloy",
    input=TEXT,
    response_format="wav",
    stream_format="sse",
) as response:
    told = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
with open("events.wav", "wb") as file:
    file.writelines(base64.b64decode(event["audio"]) for event in told[:-1])


async def speak_asynchronously() -> None:
    async with openai.AsyncOpenAI() as client:
        spoken = await client.audio.speech.create(model="tts-1-hd", voice="nova", input=TEXT)
        spoken.write_to_file("asynchronous.mp3")


asyncio.run(speak_asynchronously())

try:
    client.audio.speech.create(model="tts-1", voice="nobody", input=TEXT)
except openai.BadRequestError as error:
    refused = {"param": error.param, "code": error.code}

models = [model.id for model in client.models.list()]
print(
    json.dumps(
        {
            "models": models,
            "model": client.models.retrieve(models[0]).id,
            "created": client.models.retrieve("tts-1").created,
            "done": told[-1]["type"],
            "refused": refused,
        }
    )
)
