"""What a command has written, read back."""

import json


def lines_of(output):
    return output.decode().splitlines()


def documents(lines):
    return [json.loads(line) for line in lines]


def table_of(done):
    """Give the table at the end: what comes after each name."""
    return {line[:10].strip(): line[10:].strip() for line in lines_of(done.stdout)}


def read_report(path):
    return documents(path.read_text().splitlines())
