"""Limits and the job runner: how many uploads run at once, and how fast."""
