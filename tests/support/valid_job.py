"""A request that nothing is wrong with."""

VALID_JOB = {"task": "custom_voice", "input": "Hello there.", "voice": "vivian"}
