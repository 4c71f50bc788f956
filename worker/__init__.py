"""The worker: one process, one model in memory, one engine."""
