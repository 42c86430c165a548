"""HTML: templates, the files that pages load, and what text looks like in them."""
