"""The requests of Home Assistant to a Wyoming server; its user types the host and the port."""

import asyncio
import json
import sys
import wave

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.tts import Synthesize, SynthesizeVoice


async def main(port: int) -> None:
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
    voices = [voice.name for program in info.tts for voice in program.voices]
    async with AsyncTcpClient("127.0.0.1", port) as client:
        said = Synthesize(text="The lamp was lit.", voice=SynthesizeVoice(name=voices[0]))
        await client.write_event(said.event())
        with wave.open("spoken.wav", "wb") as file:
            while (event := await client.read_event()) is not None:
                if AudioStart.is_type(event.type):
                    start = AudioStart.from_event(event)
                    file.setparams((start.channels, start.width, start.rate, 0, "NONE", ""))
                elif AudioChunk.is_type(event.type):
                    file.writeframes(AudioChunk.from_event(event).audio)
                elif Error.is_type(event.type):
                    raise RuntimeError(Error.from_event(event).text)
                elif AudioStop.is_type(event.type):
                    break
    print(json.dumps({"voices": voices}))


asyncio.run(main(int(sys.argv[1])))
