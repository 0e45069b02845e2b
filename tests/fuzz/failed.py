"""What every form of `./dev fuzz` raises."""


class Failed(AssertionError):
    """Something came out wrong."""
