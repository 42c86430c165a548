"""Which client an address belongs to, for whatever is counted by address."""

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

#: The longest address in writing, with a zone.
_MAX_CHARACTERS: Final = 64
#: What one customer of a network has at least: who has one address of it has all (RFC 6177).
_PREFIX_BITS: Final = 64


def client_at(address: str) -> str:
    """Return what stands for the client at an address, however many addresses it can choose from.

    What is no address, as a proxy may write, is all one client: inventing names gives nothing.

    >>> client_at("192.0.2.7"), client_at("::ffff:192.0.2.7"), client_at("2001:db8:1:2:3::4")
    ('192.0.2.7', '192.0.2.7', '2001:db8:1:2::/64')
    >>> client_at("unknown"), client_at("")
    ('', '')
    """
    return _client_at(address) if len(address) <= _MAX_CHARACTERS else ""


@lru_cache(maxsize=4096)
def _client_at(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    spare = 128 - _PREFIX_BITS
    return str(IPv6Network((int(found) >> spare << spare, _PREFIX_BITS)))
