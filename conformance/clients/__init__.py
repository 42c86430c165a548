"""The server pulled from by real clients: each is started here, with data of its own."""
