"""Settings of all tests."""

import os

from hypothesis import settings

# Everywhere else each run looks at other examples; a failure in CI must be one of the change.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
