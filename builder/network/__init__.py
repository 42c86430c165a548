"""Where downloads may lead, and how much of them is taken."""
