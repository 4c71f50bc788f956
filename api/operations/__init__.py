"""Operations: health, readiness, the served models and the state of the queue."""
