"""`python -m tacit`, which is the `tacit` command."""

from __future__ import annotations

import atexit
import gc


def main() -> None:
    """Run the command line; it is loaded here so that importing this module stays cheap."""
    # What ends with the process need not be searched for cycles first: that took a seventh of a short command.
    atexit.register(gc.freeze)
    from tacit.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
