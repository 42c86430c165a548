import pytest

from registry.clients.address import client_at


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", ""),
        ("192.0.2.7:80", ""),
        ("1" * 10_000, ""),
        ("", ""),
    ],
)
def test_addresses_that_one_client_can_choose_from_are_one(address: str, client: str) -> None:
    assert client_at(address) == client
