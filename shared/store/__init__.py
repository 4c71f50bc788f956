"""The store: all of Redis, behind one door."""
