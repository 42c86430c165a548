"""What was sent to ``/api/v1/builds``: carried out in the background, followed by its clients."""
