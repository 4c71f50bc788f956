"""RealtimeTTS; OPENAI_BASE_URL and OPENAI_API_KEY are all that its user sets."""

import json

from RealtimeTTS import OpenAIEngine, TextToAudioStream

chunks = []
# The default tokenizer fetches its data from elsewhere at the first use.
stream = TextToAudioStream(
    OpenAIEngine(voice="nova", response_format="pcm"), tokenizer="rule-based", muted=True
)
# In pieces, as a language model writes them.
stream.feed(iter(["The lamp", " was lit", ". It went out", " again!", " The end", " was near."]))
stream.play(muted=True, on_audio_chunk=chunks.append)
print(json.dumps({"bytes": sum(map(len, chunks)), "text": stream.text()}))
