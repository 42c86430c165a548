"""What is downloaded: package archives, wheels and base images, each verified."""
