"""`python -m tacit`, which is the `tacit` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; it is loaded here so that importing this module stays cheap."""
    from tacit.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
