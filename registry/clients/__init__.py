"""Who sends requests, and how much each may ask for."""
