"""``python -m registry``: the same as the ``pullforge`` command."""


def main() -> None:
    """Run the command line; settings come from the environment."""
    # Not at the top: worker processes import this module too, and need no command line.
    from registry.cli import app  # noqa: PLC0415

    app()


if __name__ == "__main__":
    main()
