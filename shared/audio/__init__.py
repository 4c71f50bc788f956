"""Audio files: int16 samples encoded and decoded, for the API and the workers."""
