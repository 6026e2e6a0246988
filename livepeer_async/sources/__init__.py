"""The bytes to send: files, file objects, streams and downloads, read by position."""
