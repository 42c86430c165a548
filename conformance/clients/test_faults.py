"""Channels and packages that are broken: the user is told, nothing is left, and it can be mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.channel import hostile
from conformance.channel.server import ChannelServer
from conformance.clients.engines import Client
from conformance.clients.images import error_message
from conformance.clients.matrix import every
from conformance.clients.server import Server, StartServer
from conformance.clients.test_refusals import assert_shown
from conformance.clients.trace import left_behind

pytestmark = pytest.mark.timeout(900)
