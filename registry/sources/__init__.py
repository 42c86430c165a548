"""Who answers for a repository name: what was pushed, what is built here."""
