"""Batches: many jobs submitted in one file."""
