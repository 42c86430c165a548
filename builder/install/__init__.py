"""From package archives to the tar of a layer."""
