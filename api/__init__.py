"""The HTTP front end: it admits jobs and answers questions about them, and never loads a model."""
