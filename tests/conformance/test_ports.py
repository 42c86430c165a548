import socket

import pytest

from conformance.ports import free_port


def test_a_server_listens_on_the_port_again_and_again() -> None:
    port = free_port()
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()


def test_the_port_is_taken_before_a_server_listens() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    assert len({free_port() for _ in range(100)} | {port}) == 101
