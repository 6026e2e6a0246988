from livepeer_async.sandbox.scratch import ScratchFile, merge_extents, total_size


def fill(scratch, *blocks):
    with scratch.open() as file:
        return [scratch.append(file, block) for block in blocks]


def test_adjacent_extents_are_merged():
    assert merge_extents([(0, 3), (3, 5), (7, 9), (9, 9), (20, 20), (5, 6)]) == [
        (0, 5),
        (7, 9),
        (5, 6),
    ]
    assert total_size([(0, 3), (7, 9)]) == 5


def test_scratch_file_in_order_is_renamed(tmp_path):
    scratch = ScratchFile(tmp_path / "x.parts")
    inode = (tmp_path / "x.parts").stat().st_ino
    scratch.assemble(fill(scratch, b"abc", b"def"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcdef"
    assert (tmp_path / "x").stat().st_ino == inode
    assert not (tmp_path / "x.parts").exists()


def test_extents_out_of_order_are_copied(tmp_path):
    scratch = ScratchFile(tmp_path / "x.parts")
    first, second, third = fill(scratch, b"abc", b"def", b"ghi")
    scratch.assemble([third, first, second, first], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"ghiabcdefabc"
    assert not (tmp_path / "x.parts").exists()


def test_released_bytes_at_end_are_overwritten(tmp_path):
    scratch = ScratchFile(tmp_path / "x.parts")
    kept, *discarded = fill(scratch, b"abc", b"XX", b"YY")
    scratch.release(discarded)
    (rest,) = fill(scratch, b"d")
    scratch.assemble([kept, rest], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcd"


def test_released_bytes_in_middle_are_left_out(tmp_path):
    scratch = ScratchFile(tmp_path / "x.parts")
    first, discarded, last = fill(scratch, b"abc", b"XX", b"d")
    scratch.release([discarded])
    scratch.assemble([first, last], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcd"
