"""A request that nothing is wrong with."""

GOOD = {"task": "custom_voice", "input": "Hello there.", "voice": "vivian"}
