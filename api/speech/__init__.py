"""Speech at once: OpenAI's speech API and the previews of voices, streamed while spoken."""
