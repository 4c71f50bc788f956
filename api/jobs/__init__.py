"""Jobs: submitted, polled, listed, followed, cancelled and deleted, with their results."""
