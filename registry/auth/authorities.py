"""Whose certificates are accepted: one answer for channels, registries and the index of PyPI."""

import os
import ssl
from functools import lru_cache

import certifi

#: Those who set one of them say exactly whom to trust.
_CHOSEN = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trusted_authorities() -> ssl.SSLContext:
    """Return what accepts the certificates that rattler and uv accept, too.

    Those of the authorities that the machine trusts, such as a company's own beside the public
    ones; certifi's as well, since a machine may have none.
    """
    return _context(*(os.environ.get(name) for name in _CHOSEN))


@lru_cache(maxsize=4)
def _context(*chosen: str | None) -> ssl.SSLContext:
    # Reading them all takes longer than anything else that a client needs.
    context = ssl.create_default_context()
    if not any(chosen):
        context.load_verify_locations(certifi.where())
    return context
