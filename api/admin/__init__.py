"""An operator's view of the service, and what an operator does to it."""
