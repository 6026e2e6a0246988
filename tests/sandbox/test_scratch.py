from livepeer_async.sandbox.storage_s3 import Scratch, measure, merge


def fill(scratch, *blocks):
    with scratch.open() as file:
        return [scratch.append(file, block) for block in blocks]


def test_extents_that_follow_each_other_are_joined():
    assert merge([(0, 3), (3, 5), (7, 9), (9, 9), (20, 20), (5, 6)]) == [(0, 5), (7, 9), (5, 6)]
    assert measure([(0, 3), (7, 9)]) == 5


def test_an_object_in_order_is_the_scratch_file_renamed(tmp_path):
    scratch = Scratch(tmp_path / "x.parts")
    inode = (tmp_path / "x.parts").stat().st_ino
    scratch.assemble(fill(scratch, b"abc", b"def"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcdef"
    assert (tmp_path / "x").stat().st_ino == inode
    assert not (tmp_path / "x.parts").exists()


def test_an_object_out_of_order_is_copied_together(tmp_path):
    scratch = Scratch(tmp_path / "x.parts")
    first, second, third = fill(scratch, b"abc", b"def", b"ghi")
    scratch.assemble([third, first, second, first], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"ghiabcdefabc"
    assert not (tmp_path / "x.parts").exists()


def test_discarded_bytes_at_the_end_are_overwritten(tmp_path):
    scratch = Scratch(tmp_path / "x.parts")
    kept, *discarded = fill(scratch, b"abc", b"XX", b"YY")
    scratch.release(discarded)
    (rest,) = fill(scratch, b"d")
    scratch.assemble([kept, rest], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcd"


def test_discarded_bytes_in_the_middle_stay_out_of_the_object(tmp_path):
    scratch = Scratch(tmp_path / "x.parts")
    first, discarded, last = fill(scratch, b"abc", b"XX", b"d")
    scratch.release([discarded])
    scratch.assemble([first, last], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"abcd"
