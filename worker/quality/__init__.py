"""Measures of speech: what a speech recogniser makes of it, and how far two sounds are apart.

For `python -m worker.evaluate` and `benchmarks/quality.py`; a worker that serves uses none of it.
"""
