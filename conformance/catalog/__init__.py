"""Named environments on real server processes: their story, and what happens when things break."""
