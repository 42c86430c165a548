"""The pages in a real browser, over a real server: stories, barriers, and whatever others wrote."""
