"""From a lock to an image: plan, layers, documents."""
