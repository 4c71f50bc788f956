"""Authentication: callers, and the scopes of their keys."""
