"""Parts of the models that are compiled for this processor when a worker starts."""
