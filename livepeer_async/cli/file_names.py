"""Names of the assets of `livepeer-async upload`."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from pathlib import Path

from livepeer_async.cli.output.names import label_names
from livepeer_async.cli.stdin import STANDARD_INPUT
from livepeer_async.ingest.naming import NameTemplate, encodable, file_fields
from livepeer_async.sources.source import source_key, source_name


def name_files(paths: Sequence[str], template: NameTemplate | None) -> dict[str, str]:
    """Return the name of the asset for each path.

    It is the file's name, with more of the path if files in several folders have one name.
    """
    files = [path for path in dict.fromkeys(paths) if path != STANDARD_INPUT]
    keys = {path: source_key(path) or path for path in files}
    labels = label_names({key: source_name(key) for key in keys.values()})
    names = {path: encodable(labels[key]) for path, key in keys.items()}
    if template is None:
        return names
    folders = {path: Path(key).parent for path, key in keys.items()}
    common = os.path.commonpath(folders.values()) if folders else ""
    for number, path in enumerate(files, 1):
        below = encodable(os.path.relpath(keys[path], common))
        parent = encodable(folders[path].name)
        fields = file_fields(source_name(path), below, parent, number)
        names[path] = template.format(fields)
    return names
