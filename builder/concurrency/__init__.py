"""Work shared by those who want the same, and slots given out by priority."""
