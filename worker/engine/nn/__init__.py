"""The transformers of the talker and of the code predictor."""
