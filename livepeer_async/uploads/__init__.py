"""Uploads: one, many, and imports from URLs."""
