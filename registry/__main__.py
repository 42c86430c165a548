"""``python -m registry``: the same as the ``pullforge`` command."""

import sys


def main() -> None:
    """Run the command line; each setting that cannot be used is one sentence."""
    # Not at the top: worker processes import this module too, and need no command line.
    from registry.cli import app  # noqa: PLC0415

    try:
        app()
    except ValueError as exc:
        # Not before: these take longer than most commands.
        from pydantic import ValidationError  # noqa: PLC0415
        from pydantic_settings import SettingsError  # noqa: PLC0415

        if not isinstance(exc, ValidationError | SettingsError):
            raise
        sys.exit("\n".join(f"pullforge: {line}" for line in _told(exc)))


def _told(error: Exception) -> list[str]:
    """Return a sentence for each setting that is wrong; none repeats what it is set to."""
    from pydantic import ValidationError  # noqa: PLC0415

    if isinstance(error, ValidationError):
        found = []
        for one in error.errors(include_input=False, include_url=False, include_context=False):
            field = ".".join(map(str, one["loc"])).upper()
            said = one["msg"].removeprefix("Value error, ")
            found.append(f"PULLFORGE_{field}: {said} (docs/settings.md)" if field else said)
        return found
    name = str(error).partition('"')[2].partition('"')[0].upper()
    why = "lists and mappings are written as JSON (docs/settings.md)"
    return [f"PULLFORGE_{name} cannot be read: {why}"]


if __name__ == "__main__":
    main()
