"""Files that define environments, on servers and machines as their users have them."""
