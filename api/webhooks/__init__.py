"""Telling receivers, which clients name, how their jobs get on."""
