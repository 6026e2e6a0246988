"""Uploads a file with tuspy, in chunks as long as our longest.

python tuspy_upload.py TUS_ENDPOINT FILE
"""

import sys

from process import MIB
from tusclient.client import TusClient

_, endpoint, path = sys.argv
TusClient(endpoint).uploader(path, chunk_size=64 * MIB).upload()
