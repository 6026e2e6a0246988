from livepeer_async.cli.output.bars import FEW, Lanes
from livepeer_async.cli.output.progress import Item, Stage


def items(*stages):
    made = [Item(str(number), str(number), 100) for number in range(len(stages))]
    for item, stage in zip(made, stages, strict=True):
        item.stage = stage
    return made


def test_an_item_keeps_its_line_while_others_come_and_go():
    lanes = Lanes()
    one, two, three, four = items(*[Stage.UPLOADING] * 4)
    assert lanes.arrange([one, two, three], 10) == [one, two, three]
    assert lanes.arrange([one, three], 10) == [one, None, three]
    assert lanes.arrange([one, three, four], 10) == [one, four, three]


def test_empty_lines_at_the_end_stay_while_more_is_to_come():
    lanes = Lanes()
    one, two = items(*[Stage.UPLOADING] * 2)
    lanes.arrange([one, two], 10)
    assert lanes.arrange([one], 10, is_growing=True) == [one, None]
    assert lanes.arrange([one], 10) == [one]
    assert lanes.arrange([], 10, is_growing=True) == []


def test_what_moves_goes_first_and_what_is_processed_fills_up_a_few_lines():
    moving = items(*[Stage.UPLOADING] * 3)
    processed = items(*[Stage.PROCESSING] * 20)
    drawn = Lanes().arrange([*processed, *moving], 100)
    assert set(moving) < set(drawn)
    assert len(drawn) == FEW
    assert Lanes().arrange([*processed, *moving], 2) == moving[:2]


def test_what_waits_is_not_drawn():
    assert Lanes().arrange(items(Stage.WAITING, Stage.READY), 10) == []


def test_a_window_that_shrinks_keeps_what_moves():
    lanes = Lanes()
    made = items(*[Stage.UPLOADING] * 6)
    lanes.arrange(made, 6)
    assert lanes.arrange(made[2:], 2) == made[2:4]


def test_more_than_a_couple_of_empty_lines_are_closed_up():
    lanes = Lanes()
    made = items(*[Stage.UPLOADING] * 6)
    lanes.arrange(made, 10)
    kept = lanes.arrange([made[0], made[3], made[4], made[5]], 10, is_growing=True)
    assert kept == [made[0], None, None, *made[3:]]
    assert lanes.arrange([made[0], made[5]], 10, is_growing=True) == [made[0], made[5]]
