"""A second implementation of the encodings, written from the specification; nothing of tacit is imported."""
