"""Waits for assets: one poller for everything that a client waits for."""
