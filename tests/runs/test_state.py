"""A run knows what was asked for, what is there, what could not be read, and what is missing of which shard."""

import pytest

from rsfast.errors import StoreError
from rsfast.runs import store
from rsfast.runs.store import Part
from rsfast.runs.store.lines import encoded

from .runs import begun, manifest, record, settings, written


@pytest.fixture
def run(tmp_path):
    begun(tmp_path / "run")
    return tmp_path / "run"


def call(run, part, *finished, unreadable=(), n=None, ends=True):
    """What a call writes that was asked for `part`."""
    with store.Shard(run, part.shard, part.shards) as shard:
        shard.asks(part, n)
        for image in finished:
            shard.append(record(image))
        for image in unreadable:
            shard.unreadable(image, f"image {image} is torn")
        if ends:
            shard.ends()


def left(run):
    return [(one.index, one.of, one.images, one.begun) for one in store.standing(run).left]


def test_a_run_that_was_not_asked_for_anything_does_not_know(run):
    written(run, 1)
    state = store.standing(run)
    assert (state.asked, state.missing, state.left, state.done) == (None, 0, [], 0)


def test_one_shard_of_two_leaves_the_other_which_was_not_started(run):
    call(run, Part(count=8, shards=2), 0, 2, 4, 6)
    state = store.standing(run)
    assert state.asked.tolist() == list(range(8))
    assert (state.done, state.missing) == (4, 4)
    assert left(run) == [(1, 2, 4, False)]
    assert state.what_is_missing == "4 images: 4 of shard 1/2, which was not started"
    call(run, Part(count=8, shard=1, shards=2), 1, 3, 5)
    assert left(run) == [(1, 2, 1, True)]
    call(run, Part(count=8, shard=1, shards=2), 7)
    assert store.standing(run).what_is_missing == ""


def test_shards_that_were_asked_for_different_subsets_are_one_run(run):
    call(run, Part(count=4, shards=2), 0, 2)
    call(run, Part(count=8, shard=1, shards=2), 1, 3, 5, 7)
    assert store.standing(run).asked.tolist() == list(range(8))
    assert left(run) == [(0, 2, 2, True)]  # 4 and 6, which only the second call asked for


def test_a_run_that_is_extended_or_continued_otherwise_split_is_asked_for_the_union(run):
    call(run, Part(count=3), 0, 1)
    call(run, Part(start=10, every=2, count=2), 10, 12)
    assert store.standing(run).asked.tolist() == [0, 1, 2, 10, 12]
    assert left(run) == [(0, 1, 1, True)]
    call(run, Part(count=6, shard=2, shards=3), 2, 5)
    assert store.standing(run).asked.tolist() == [0, 1, 2, 3, 4, 5, 10, 12]
    assert left(run) == [(0, 3, 1, False), (1, 3, 1, False)]
    call(run, Part(count=2), 0, 1)
    assert store.standing(run).missing == 2  # a smaller call takes nothing back


def test_images_that_could_not_be_read_are_known_until_they_are_there(run):
    call(run, Part(count=3), 0, unreadable=[1, 2])
    assert store.standing(run).unreadable == {1: "image 1 is torn", 2: "image 2 is torn"}
    assert (store.standing(run).done, store.standing(run).missing) == (1, 0)
    before = (run / "asked-000-of-001.jsonl").read_bytes()
    call(run, Part(count=3), unreadable=[1])
    assert (run / "asked-000-of-001.jsonl").read_bytes() == before
    call(run, Part(count=3), 1)
    assert store.standing(run).unreadable == {2: "image 2 is torn"}


def test_a_sample_is_the_images_drawn(tmp_path):
    sample = {"images": 6, "seed": 4}
    run = tmp_path / "run"
    begun(run, **settings(sample=sample))
    part = Part(sample=sample, shard=1, shards=2)
    with store.Shard(run, 1, 2) as shard:
        shard.asks(part)
        for image in part.positions(20):
            shard.append(record(image, of=manifest(**settings(sample=sample))))
    assert sorted(store.standing(run).asked) == sorted(store.chosen(20, 6, 4))
    assert left(run) == [(0, 2, 3, False)]


def test_more_than_the_data_has_is_asked_for_as_everything(run):
    call(run, Part(count=10**30), *range(20))
    state = store.standing(run)
    assert (state.done, state.missing) == (20, 0)
    call(run, Part(start=10**25, every=10**20))
    assert store.standing(run).missing == 0


def test_a_call_to_more_draws_that_has_not_ended_is_known(run):
    call(run, Part(count=2), 0, 1, n=500)
    assert store.standing(run).what_is_missing == ""
    call(run, Part(count=2), n=900, ends=False)
    assert store.standing(run).what_is_missing == "draws up to n = 900 of shard 0/1, whose last call has not ended"
    call(run, Part(count=2), n=900)
    assert store.standing(run).what_is_missing == ""


def test_what_was_asked_of_settings_that_were_corrected_is_forgotten(run):
    call(run, Part(count=15))
    begun(run, **settings(n=200))
    assert store.standing(run).asked is None


def test_a_line_that_was_cut_short_is_dropped_and_written_again(run):
    call(run, Part(count=3), 0)
    file = run / "asked-000-of-001.jsonl"
    whole = file.read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        assert store.standing(run).asked is None
    call(run, Part(count=3))
    assert store.standing(run).asked.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"at": 1}, {"asked": {}, "at": 1}, {"asked": {"start": 0, "count": 1, "every": 0}, "at": 1},
        {"asked": {"start": -1, "count": 1, "every": 1}, "at": 1}, {"asked": {"start": 0, "count": 0, "every": 1}, "at": 1},
        {"asked": {"start": 0, "count": 1, "every": 1}}, {"asked": {"start": 0, "count": 1, "every": True}, "at": 1},
        {"asked": {"start": 0, "count": 1, "every": 1, "sample": {}}, "at": 1}, {"id": -1, "problem": "x"}, {"id": 1},
        {"asked": {"start": 0, "count": 1, "every": 1, "sample": {"images": 21, "seed": 0}}, "at": 1},
    ],
)  # fmt: skip
def test_what_no_call_can_have_asked_for_is_refused(run, fields):
    (run / "asked-000-of-001.jsonl").write_bytes(encoded(fields))
    with pytest.raises(StoreError):
        store.standing(run)


@pytest.mark.parametrize("name", ["asked-1.jsonl", "asked-002-of-002.jsonl", "asked-000-of-٢.jsonl", "asked-.jsonl"])
def test_files_that_are_not_named_as_they_should_be_are_refused(run, name):
    (run / name).write_bytes(b"")
    with pytest.raises(StoreError, match="take it out; it holds no counts"):
        store.standing(run)


def test_many_missing_shards_are_counted_instead_of_named(run):
    call(run, Part(shards=20), 0)
    text = store.standing(run).what_is_missing
    assert text.startswith("19 images: 1 of shard 1/20, which was not started; ")
    assert text.endswith("; 13 of 13 other shards")
