"""The blob store as a cache: what was not used for long goes, what is damaged goes."""
