"""Greets whoever runs it."""


def main() -> None:
    """Print a greeting."""
    print("good day")
