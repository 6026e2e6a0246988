"""Durable records of uploads, each with a claim that makes one open journal its only writer.

A `Lease` is the claim of an upload that runs, with its record.
"""
