"""The model of a worker: its checkpoint, its loading, and the processor's cores."""
