"""The store: everything that is kept in Redis, with its keys and its Lua steps."""
