"""Kernels of the models as C++, compiled for this processor when a worker starts."""
