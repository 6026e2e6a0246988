"""Uploads: the source, its blocks, the engine of one upload and the scheduler of many."""
