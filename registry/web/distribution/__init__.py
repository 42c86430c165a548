"""The distribution protocol (``/v2``): what container engines speak."""

from registry.web.asgi.waiting import HOP_SECONDS
from registry.web.distribution.app import Distribution, DistributionFirst

__all__ = ["HOP_SECONDS", "Distribution", "DistributionFirst"]
