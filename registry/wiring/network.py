"""How a builder gets out, and whereto."""

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from builder.network.hosts import Hosts
from registry.settings import Settings

#: How uv finds its way out, where others find it by themselves.
_NETWORK_VARIABLES: Final = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)
_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


def hosts_of(settings: Settings) -> Hosts:
    """Return where downloads may go: what the settings name, and what is public."""
    configured = {urlsplit(url).netloc for url in indexes(settings)}
    configured.update(settings.pypi_hosts if settings.pypi else ())
    # Neither a layout nor a pushed image nor a pattern for many hosts is one.
    bases = (base.partition("/")[0] for base in (settings.base, *settings.bases))
    configured.update(host for host in bases if _HOST.fullmatch(host))
    return Hosts(configured - {""}, settings.private_networks)


def indexes(settings: Settings) -> list[str]:
    """Return the addresses of what is asked which packages there are."""
    return [*settings.mirrors.values(), *([settings.pypi_index] if settings.pypi else ())]


def network_of(forwarding: str) -> dict[str, str]:
    """Return by which variables uv and rattler get out: the proxy given, unless there is one."""
    given = {name: os.environ[name] for name in _NETWORK_VARIABLES if os.environ.get(name)}
    if any(name.lower() in {"http_proxy", "https_proxy", "all_proxy"} for name in given):
        return given
    kept = {name: value for name, value in given.items() if name.startswith("SSL_")}
    names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    return kept | dict.fromkeys(names, forwarding)


def child_environment(network: Mapping[str, str]) -> dict[str, str]:
    """Return what the processes have that read indexes: this one's, with another way out.

    rattler takes its proxy from there alone.
    """
    # With a backtrace, one that reaches its limits would print its stack to the log.
    left_out = {*_NETWORK_VARIABLES, "RUST_BACKTRACE"}
    return {name: v for name, v in os.environ.items() if name not in left_out} | dict(network)
