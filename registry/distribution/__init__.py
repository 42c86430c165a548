"""The distribution protocol (``/v2``): what container engines speak."""

from registry.distribution.face import Distribution, DistributionFirst
from registry.web.waiting import HOP_SECONDS

__all__ = ["HOP_SECONDS", "Distribution", "DistributionFirst"]
