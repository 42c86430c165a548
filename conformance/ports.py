"""Ports of the loopback interface for servers that are told which one to take."""

import socket


def free_port() -> int:
    """Return a port that nobody else is given as long as this process lives.

    A socket that never listens is bound to it and kept. A server may still listen there, since both
    have SO_REUSEADDR, but the kernel hands the port neither to another who wants any port nor to an
    outgoing connection: one of those would otherwise take it before the server is up.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    holder.detach()  # open until the process ends
    return port
