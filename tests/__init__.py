"""Tests of the project; their folders say what they need."""
