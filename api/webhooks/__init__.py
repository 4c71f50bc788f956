"""Webhooks: events delivered to the clients' servers, retried, and listed if they failed."""
