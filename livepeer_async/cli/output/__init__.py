"""What the command line draws, and the words for it."""
