"""What a client shows of the server's refusal."""

from conformance.clients.engines import Client, PullResult
from conformance.clients.matrix import CONTAINERD_1_6


def assert_shown(client: Client, result: PullResult, message: str) -> None:
    """Check that a pull failed and that the user could read why.

    containerd 1.6 shows the status alone; it must not be 404, which it reports as "not found".
    """
    assert not result.ok, result.output
    if client.name == CONTAINERD_1_6:
        assert "400 Bad Request" in result.words, result.output
    else:
        assert message in result.words, result.output
