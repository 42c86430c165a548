"""What every face of the service needs of HTTP; nothing here knows the distribution protocol."""
