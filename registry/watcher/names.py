r"""Paths of files, which may be any bytes, as what can be written down and shown.

>>> shown_path("a\nb/environment.yml")
'a\\nb/environment.yml'
>>> unwritable("a\nb/environment.yml")
'its name has characters that cannot be printed: give it another one'
"""

from registry.catalog.source_patterns import MAX_PATH_BYTES


def shown_path(path: str) -> str:
    """Return a path as one line of text, and not longer than can be written down."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if not text.isprintable():
        text = "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in text
        )
    data = text.encode()
    if len(data) <= MAX_PATH_BYTES:
        return text
    return data[: MAX_PATH_BYTES - 3].decode("utf-8", "ignore") + "…"


def unwritable(path: str) -> str | None:
    """Return why a path cannot be that of a file that counts; ``None``: it can."""
    try:
        data = path.encode()
    except UnicodeEncodeError:
        return "its name is not in UTF-8: give it another one"
    if not path.isprintable():
        return "its name has characters that cannot be printed: give it another one"
    if len(data) > MAX_PATH_BYTES:
        return f"its path is longer than {MAX_PATH_BYTES} bytes"
    return None
