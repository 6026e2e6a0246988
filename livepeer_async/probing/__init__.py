"""Checks of media files, before they are uploaded, against the rules of Livepeer's pipeline."""
