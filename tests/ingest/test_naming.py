import os

import pytest

from livepeer_async.errors import ConfigurationError
from livepeer_async.ingest import BadRow, open_manifest
from livepeer_async.ingest.naming import FILE_FIELDS, NameTemplate


@pytest.fixture
def shows(tmp_path, monkeypatch):
    """A folder with two clips of one name, and the tests in the folder above it."""
    monkeypatch.chdir(tmp_path)
    for name in ("shows/2023/clip.mp4", "shows/2024/clip.mp4", "shows/top.mp4", "other/clip.mp4"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(b"video")
    return tmp_path / "shows"


def names_of(manifest, **options):
    rows = list(open_manifest(manifest, allow_outside=True, **options))
    return [row.asset_name for row in rows]


@pytest.mark.parametrize(
    "manifest", ["shows", "shows/", "./shows", "{shows}", "shows/**/*.mp4", "{shows}/**/*"]
)
def test_files_of_one_name_are_told_apart_by_their_path(shows, manifest):
    names = names_of(manifest.format(shows=shows))
    assert sorted(filter(None, names)) == ["2023/clip.mp4", "2024/clip.mp4"]
    # The asset of a file in the folder itself has the file's name.
    assert names.count(None) == 1


def test_rows_are_named_by_their_path_from_the_table(shows):
    paths = ["2023/clip.mp4", "./2024//clip.mp4", f"{shows}/2023/clip.mp4", "../other/clip.mp4"]
    lines = "".join(f"{path},\n" for path in paths)
    (shows / "table.csv").write_text(f"path,name\n{lines}2023/clip.mp4,Opening\n")
    expected = ["2023/clip.mp4", "2024/clip.mp4", "2023/clip.mp4", "../other/clip.mp4", "Opening"]
    assert names_of("shows/table.csv") == expected
    assert names_of(shows / "table.csv") == expected


def test_template_names_all_rows(shows):
    lines = (
        '{"path": "2023/clip.mp4", "creatorId": "me", "key": "k1"}',
        '{"url": "https://h.example/talks/one.mp4?signature=hush", "creatorId": "you"}',
        '{"path": "top.mp4", "name": "Top", "creatorId": {"type": "unverified", "value": "we"}}',
    )
    (shows / "rows.jsonl").write_text("\n".join(lines))
    template = "{row:02} {name} {stem} {path} {parent} {creatorId} {{x}}"
    assert names_of("shows/rows.jsonl", name_template=template) == [
        "01 clip.mp4 clip 2023/clip.mp4 2023 me {x}",
        "02 one.mp4 one talks/one.mp4 talks you {x}",
        "03 Top top top.mp4 shows we {x}",
    ]
    names = names_of("shows/rows.jsonl", name_template="{key}")
    assert names[:2] == ["k1", "https://h.example/talks/one.mp4"]


def test_row_without_a_field_of_the_template_is_bad(shows):
    for row in open_manifest("shows", name_template="{creatorId}"):
        assert isinstance(row, BadRow)
        assert row.message == "the name template needs creatorId, which the row lacks"


def test_name_is_no_part_of_the_key(shows):
    keys = [row.key for row in open_manifest("shows")]
    assert [row.key for row in open_manifest("shows", name_template="{row}")] == keys


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{title}", "has the unknown field {title}"),
        ("{name.__class__}", "has the unknown field {name.__class__}"),
        ("{name[0]}", r"has the unknown field {name[0]}"),
        ("{}", "has the unknown field {}"),
        ("{key}", "has the unknown field {key}"),
        ("{name!r}", "formats {name}"),
        ("{name:>99999999}", "formats {name}"),
        ("{row:999999}", "formats {row}"),
        ("{row:{name}}", "formats {row}"),
        ("clip", "has no field"),
        ("", "has no field"),
        ("{name", "can't be read: expected '}' before end of string"),
    ],
)
def test_template_with_anything_but_known_fields_is_refused(text, found):
    with pytest.raises(ConfigurationError) as refused:
        NameTemplate(text, FILE_FIELDS)
    assert found in str(refused.value)
    assert "wanted one or more of {name}, {stem}, {path}, {parent}, {row}" in str(refused.value)
