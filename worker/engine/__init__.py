"""The synthesis engine: requests in, speech out; it knows no queue, no HTTP and no files."""
