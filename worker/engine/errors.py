"""Everything the engine raises."""


class EngineError(Exception):
    """The root of the engine's errors."""


class QueueFull(EngineError):
    """Raised when more requests wait than the engine holds; submit again later."""


class StepFailed(EngineError):
    """Raised for every request of a step that failed; which of them is to blame is not known."""


class Closed(EngineError):
    """Raised when the engine no longer takes requests."""
