"""conda-store's wire, held against conda-store: its server, its clients, and their platforms."""
