"""Texts: normalised, divided at headings and paragraphs, and split into segments."""
