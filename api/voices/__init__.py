"""Voices: recordings that are uploaded, checked and kept to be cloned."""
