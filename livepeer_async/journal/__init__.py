"""Durable records of uploads, and the lease on each."""
