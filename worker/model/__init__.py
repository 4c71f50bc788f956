"""The models of a worker: checkpoints, loading within a budget, and the cores for them."""
