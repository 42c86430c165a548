"""However many ask on however many servers, a thing is made once."""

import asyncio
from typing import get_args

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.images import SIMPLE, fetch_manifest
from conformance.clients.test_single_flight import base_layers
from conformance.workers.company import BrokerName, Company, ask_at_once

CLIENTS = 200


@pytest.mark.parametrize("broker", get_args(BrokerName))
def test_two_hundred_clients_of_three_servers_cost_one_solve_and_one_assembly_of_each_layer(
    paths: ChannelPaths, channel: ChannelServer, broker: BrokerName
) -> None:
    """The work is done by three workers, and everyone gets the same bytes."""
    with Company(paths, channel.url, broker) as company:
        answers = asyncio.run(ask_at_once(company.servers, SIMPLE, CLIENTS))
        assert {a.status_code for a in answers} == {200}, company.log_end()
        assert len({a.content for a in answers}) == 1
        layers = fetch_manifest(company.servers[0], SIMPLE).content["layers"]
        assert company.metric("pullforge_solves_total") == 1
        made = company.metric("pullforge_layer_assemblies_total")
        assert made == len(layers) - base_layers(paths.base)
        # Servers with workers make nothing themselves.
        for server in company.servers:
            assert server.metric("pullforge_solves_total") == 0
            assert server.metric("pullforge_layer_assemblies_total") == 0
        assert company.redis.keys("running:*", "asked:*", "waiting") == []
