"""Decoder layers whose passes between the products are compiled for this processor, at start."""
