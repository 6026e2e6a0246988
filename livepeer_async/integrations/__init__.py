"""Integrations with other packages, each of which is needed for its own module only."""
