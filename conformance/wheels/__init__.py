"""Real wheels of PyPI, chosen for oddness, as pip, uv and the builder install them."""
