"""Polling of assets; one poller serves all waits of a client."""
