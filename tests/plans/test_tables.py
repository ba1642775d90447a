"""What tables decide, and how they are kept."""

import os
import time

import numpy as np
import pytest
from scipy import stats

from rsfast import plans
from rsfast.errors import InvalidArgumentError
from rsfast.plans import cache
from tests.plans.walks import successes, walk
from tests.reference.plans import around, false_certification

Z = np.array([0.0, 0.5, 1.0, 2.0, 3.0])
FAILURE = stats.norm.sf(Z)
ALL = [plans.Grid(Z), plans.Radius(spacing=0.05), plans.Betting(radii=Z), plans.Betting(spacing=0.1)]


def tables(plan, n=5000, alpha=1e-3):
    failure = plan.failures(alpha, n) if getattr(plan, "radii", None) is None else FAILURE
    return plans.tables(plan, failure, alpha=alpha, n=n)


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_false_certification_probability_is_at_most_alpha_on_and_around_every_threshold(plan):
    t = tables(plan, 2000)
    worst = max(false_certification(t.looks, t.accept, t.failure, e) for e in around(t.failure))
    assert 1e-5 < worst <= 1e-3


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_many_images_at_once_are_decided_like_each_alone(plan, rng):
    t = tables(plan)
    for k in (0, 1, len(t.looks) // 2, len(t.looks) - 1):
        s = rng.integers(0, t.looks[k] + 1, 300)
        before = rng.integers(-1, len(t.failure), 300)
        reached = t.reached(k, s, before)
        finished = t.finished(k, s, reached)
        for i in range(300):
            passed = [j for j in range(len(t.failure)) if s[i] >= t.accept[k, j]]
            assert reached[i] == max([before[i], *passed]) == t.reached(k, s[i], before[i])
            assert finished[i] == t.finished(k, s[i], reached[i])


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_more_successes_reach_no_less(plan):
    t = tables(plan)
    for k in range(0, len(t.looks), 5):
        s = np.arange(t.looks[k] + 1)
        assert (np.diff(t.reached(k, s, np.full(len(s), -1))) >= 0).all()


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_types_are_those_promised(plan):
    t = tables(plan)
    reached = t.reached(0, np.array([100, 128], dtype=np.int32), np.array([-1, -1]))
    assert reached.dtype == np.int64
    assert t.finished(0, np.array([100, 128]), reached).dtype == bool
    assert t.looks.dtype == t.accept.dtype == t.hopeless.dtype == np.int64
    assert t.failure.dtype == np.float64
    for array in (t.looks, t.accept, t.hopeless, t.failure):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_everything_is_finished_at_the_last_look(plan):
    t = tables(plan)
    assert t.finished(len(t.looks) - 1, np.arange(0, t.n + 1, 100), np.full(t.n // 100 + 1, -1)).all()


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_an_image_at_the_last_threshold_is_finished(plan):
    t = tables(plan)
    assert t.finished(0, np.array([128]), np.array([len(t.failure) - 1])).all()


@pytest.mark.parametrize("futility", [1e-3, 0.01, 0.5])
def test_giving_up_is_no_part_of_what_is_certified(futility):
    for kind, more in ((plans.Grid, {"radii": Z}), (plans.Betting, {"radii": Z})):
        never = tables(kind(**more, futility=0))
        assert (tables(kind(**more, futility=futility)).accept == never.accept).all()
    loose, tight = plans.Radius(0.5, futility=futility), plans.Radius(0.0, futility=0)
    assert (tables(loose).accept == tables(tight).accept).all()


@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_who_stops_has_certified_nothing_that_going_on_would_not(plan, rng):
    t = tables(plan)
    for e in (0.6, 0.5, 0.3, 0.02, 1e-4):
        reached, stopped, free = walk(t, successes(rng, t.looks, e, 300))
        assert (reached <= free).all()
        assert (stopped >= 0).all()


@pytest.mark.parametrize("kind", [plans.Grid, plans.Betting])
def test_without_futility_only_what_is_out_of_reach_is_given_up(kind, rng):
    t = tables(kind(radii=Z, futility=0))
    for e in (0.55, 0.5, 0.45, 0.3, 0.15, 0.02, 1e-3, 0.0):
        reached, stopped, free = walk(t, successes(rng, t.looks, e, 400))
        assert (reached == free).all()
    assert (stopped < len(t.looks) - 1).all()  # the last radius is beyond n: known as soon as the one before is there


def test_futility_gives_up_wrongly_with_at_most_its_probability_at_each_look():
    n, beta = 5000, 1e-2
    t, exact = tables(plans.Grid(Z, futility=beta)), tables(plans.Grid(Z, futility=0))
    for j, e in enumerate(FAILURE[:4]):
        wanted = max(f for f in range(n) if stats.binom.cdf(f, n, e) <= 1e-3)
        gave_up = stats.binom.cdf(t.hopeless[:, j], t.looks, 1 - wanted / n)
        here = t.hopeless[:, j] > np.maximum.accumulate(exact.hopeless, axis=1)[:, j]
        assert here.any()
        nested = (t.hopeless[:, j] > t.hopeless[:, j - 1]) if j else np.ones(len(t.looks), bool)
        assert (gave_up[here & nested] <= beta * (1 + 1e-9)).all()


def test_hopeless_images_stop_soon():
    t = tables(plans.Grid(Z), n=100_000)
    share = np.floor(0.3 * t.looks).astype(int)
    assert t.finished(0, share[:1], np.array([-1])).all()


def test_impossible_thresholds_are_given_up_at_once():
    t = plans.tables(plans.Grid([0, 1]), [0.5, 1e-9], alpha=1e-3, n=1000)
    assert t.finished(0, np.array([128]), np.array([0])).all()
    nothing = plans.tables(plans.Grid([0, 1]), [1e-8, 1e-9], alpha=1e-3, n=1000)
    assert nothing.finished(0, np.array([128]), np.array([-1])).all()


@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.05, 0.3])
def test_a_radius_within_tolerance_of_the_last_looks_is_finished(tolerance, rng):
    n, alpha = 20_000, 1e-3
    plan = plans.Radius(tolerance, futility=0)
    t, z = tables(plan, n), plan.lattice(alpha, n)
    for k in (3, 10, len(t.looks) - 2):
        s = np.floor(t.looks[k] * (1 - np.geomspace(1e-4, 0.45, 300))).astype(int)
        reached = t.reached(k, s, np.full(300, -1))
        finished = t.finished(k, s, reached)
        for i in np.flatnonzero(
            (reached >= 0) & (reached < len(z) - 1) & (s > t.hopeless[k][np.minimum(reached + 1, len(z) - 1)])
        ):
            final = np.searchsorted(t.accept[-1], n - (t.looks[k] - s[i]) * n // t.looks[k], side="right") - 1
            assert finished[i] == (z[reached[i]] >= (1 - tolerance) * z[final] - 1e-6)


def test_a_looser_tolerance_stops_no_later(rng):
    counts = None
    before = None
    for tolerance in (0.3, 0.1, 0.02, 0.0):
        t = tables(plans.Radius(tolerance), 20_000)
        counts = successes(rng, t.looks, 0.05, 200) if counts is None else counts
        _, stopped, _ = walk(t, counts)
        assert before is None or (stopped >= before).all()
        before = stopped


def test_the_lattice_ends_with_what_n_successes_certify():
    for n in (10, 1000, 100_000):
        plan = plans.Radius()
        z = plan.lattice(1e-3, n)
        largest = stats.norm.isf(-np.expm1(np.log(1e-3) / n))
        assert z[0] == 0
        assert z[-1] <= max(largest, 0) + 1e-8
        assert largest < 0 or z[-1] > largest - plan.spacing
        np.testing.assert_allclose(plan.failures(1e-3, n), stats.norm.sf(z), rtol=1e-14)
        assert (plan.failures(1e-3, n) <= stats.norm.sf(z)).all()


def test_bettings_lattice_does_not_depend_on_n():
    plan = plans.Betting()
    assert (plan.failures(1e-3, 10) == plan.failures(0.1, 10**6)).all()


def test_a_continued_betting_run_repeats_the_looks_before():
    plan = plans.Betting(radii=Z)
    short, long = tables(plan, 3000), tables(plan, 50_000)
    assert (long.looks[: len(short.looks) - 1] == short.looks[:-1]).all()
    assert (long.accept[: len(short.looks) - 1] == short.accept[:-1]).all()


@pytest.mark.parametrize("alpha", [1e-12, 0.5])
@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_extreme_levels_work(plan, alpha):
    t = tables(plan, 3000, alpha)
    assert (np.diff(t.accept, axis=1) >= 0).all()
    assert t.accept[-1, 0] <= 3000


@pytest.mark.parametrize("n", [1, 5, 127, 128, 129])
@pytest.mark.parametrize("plan", ALL, ids=repr)
def test_few_draws_work(plan, n):
    t = tables(plan, n)
    assert t.looks[-1] == n
    assert t.reached(0, np.array([0]), np.array([-1])).tolist() == [-1]


def test_tables_are_made_once(monkeypatch):
    made = []
    monkeypatch.setattr(plans.table, "_compute", lambda *a, made=made, real=plans.table._compute: made.append(1) or real(*a))
    first, second = tables(plans.Grid(Z)), tables(plans.Grid(Z))
    assert (first.accept is second.accept) or (first.accept.base is second.accept.base)
    assert len(made) == 1
    assert (tables(plans.Radius(0.01, spacing=0.5)).accept == tables(plans.Radius(0.2, spacing=0.5)).accept).all()
    assert len(made) == 2  # the tolerance is no part of the tables
    for other in (plans.Grid(Z, final=0.5), plans.Grid(Z, futility=0.01), plans.Betting(radii=Z)):
        tables(other)
    tables(plans.Grid(Z), alpha=1e-4)
    tables(plans.Grid(Z), n=5001)
    assert len(made) == 7


def test_memory_keeps_the_tables_last_used(monkeypatch):
    monkeypatch.setattr(cache, "IN_MEMORY", 2)
    for n in (100, 200, 100, 300):
        tables(plans.Grid(Z), n)
    assert len(cache._recent) == 2
    kept = [table.shape[1] for table in cache._recent.values()]
    assert kept == [1, 3]  # n = 100 was used after n = 200


def stored(monkeypatch):
    """A table in a file, with memory emptied: (its tables, its file)."""
    monkeypatch.setattr(cache, "WORTH_A_FILE", 0.0)
    t = tables(plans.Grid(Z))
    cache._recent.clear()
    (file,) = cache.folder().glob("*")
    return t, file


def test_a_stored_table_is_read_and_not_computed(monkeypatch):
    t, _ = stored(monkeypatch)
    monkeypatch.setattr(plans.table, "_compute", None)
    again = tables(plans.Grid(Z))
    assert (again.accept == t.accept).all()
    assert (again.hopeless == t.hopeless).all()


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "longer", "of another plan", "a folder"])
def test_a_damaged_file_is_computed_again(damage, monkeypatch):
    t, file = stored(monkeypatch)
    content = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    elif damage == "of another plan":
        tables(plans.Grid(Z, final=0.5))
        (other,) = set(cache.folder().glob("*")) - {file}
        file.write_bytes(other.read_bytes())
        cache._recent.clear()
    elif damage == "a folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({"cut": content[:-8], "empty": b"", "longer": content + b"12345678"}[damage])
    again = tables(plans.Grid(Z))
    assert (again.accept == t.accept).all()
    if damage != "a folder":
        assert file.read_bytes() == content
    assert not list(cache.folder().glob(".table-*"))


def test_a_folder_that_cannot_be_made_costs_only_time(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(cache, "WORTH_A_FILE", 0.0)
    assert tables(plans.Grid(Z)).accept.shape[1] == len(Z)


def test_quick_tables_leave_no_file(monkeypatch):
    monkeypatch.setattr(cache, "WORTH_A_FILE", 60.0)
    tables(plans.Grid(Z))
    assert not cache.folder().exists()


def test_without_a_named_folder_the_users_cache_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("RSFAST_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "rsfast" / "plans"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "rsfast" / "plans"


def test_a_fine_lattice_is_quick_the_second_time():
    tables(plans.Radius(), 100_000)
    cache._recent.clear()
    start = time.perf_counter()
    tables(plans.Radius(), 100_000)
    assert time.perf_counter() - start < 2.0
    assert os.environ["RSFAST_CACHE_DIR"] == str(cache.folder())


@pytest.mark.parametrize(
    ("failure", "more", "message"),
    [
        ([0.1, 0.2], {}, "failure increases"),
        ([], {}, r"failure has shape \(0,\)"),
        ([[0.1]], {}, r"failure has shape \(1, 1\)"),
        ([1.0], {}, r"failure\[0\]=1.0 is not allowed"),
        ([-0.1], {}, "is not allowed"),
        ([np.nan], {}, "is not allowed"),
        ("x", {}, "not numeric"),
        ([0.1], {"alpha": 1.5}, "alpha=1.5 is not a failure probability"),
        ([0.1], {"alpha": [0.1, 0.2]}, "is not one number"),
        ([0.1], {"n": 0}, "n=0 is not allowed"),
        ([0.1], {"n": 10**9 + 1}, "whole number from 1 to 1000000000"),
        ([0.1], {"n": 10.5}, "n=10.5 is not allowed"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(failure, more, message):
    with pytest.raises(InvalidArgumentError, match=message):
        plans.tables(plans.Grid([1.0]), failure, **{"alpha": 1e-3, "n": 1000} | more)


def test_what_is_no_plan_is_refused():
    with pytest.raises(InvalidArgumentError, match="'grid' is not a plan"):
        plans.tables("grid", [0.1], alpha=0.1, n=10)
