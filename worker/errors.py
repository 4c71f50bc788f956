"""What a worker raises beyond the shared errors."""

from shared.errors import QueueError


class ModelUnavailable(QueueError):
    """Raised when a checkpoint cannot be found, downloaded or loaded; says what to do."""

    code = "model_unavailable"
