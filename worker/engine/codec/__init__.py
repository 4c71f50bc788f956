"""The codec: frames of codes to sound, chunk by chunk."""
