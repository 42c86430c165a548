"""Running builds: shared work, progress, and the processes that compute."""
