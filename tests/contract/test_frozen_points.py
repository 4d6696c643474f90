"""What every backend promises about frozen points: one copy an attempt, shared safely, and gone when released."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.backends import Play, Stage
from tests.contract.steps import Wish, cloned, finished, followed, fresh_token, frozen_point, removed, until
from tests.support.refs import is_gone

from vmclone_operator.domain.backend import Consistency, OperationState, Power
from vmclone_operator.domain.errors import RetryLater, SourceNotFound


def test_frozen_point_ends_complete_and_says_what_it_is(on_backend: Play) -> None:
    """Status names the source, its fingerprint and the consistency that was really achieved."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        source = await stage.session.describe_source(stage.site.source)
        point = await finished(stage.session, wish.freeze_intent(source.source_id))
        assert (point.source_id, point.vmclone_uid) == (source.source_id, wish.uid)
        assert point.fingerprint == source.fingerprint
        assert point.consistency is (Consistency.QUIESCED if source.power is Power.ON else Consistency.POWERED_OFF)
        assert point.allocated_bytes > 0

    on_backend(scenario)


def test_freezing_leaves_the_source_as_it_was(on_backend: Play) -> None:
    """A source in use is neither stopped nor left frozen nor changed."""

    async def scenario(stage: Stage) -> None:
        before = await stage.session.describe_source(stage.site.source)
        await frozen_point(stage.session, stage.site.source, Wish())
        assert await stage.session.describe_source(stage.site.source) == before
        assert await stage.session.thaw(before.source_id) is False

    on_backend(scenario)


def test_done_stays_done_for_a_restarted_operator(on_backend: Play) -> None:
    """What status recorded can be asked about again, by a session that knows nothing of the first."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        source = await stage.session.describe_source(stage.site.source)
        intent, point = await followed(stage.session, wish.freeze_intent(source.source_id))
        again = await stage.session.freeze(intent)
        assert (again.state, again.frozen) == (OperationState.DONE, point)
        assert list(await stage.session.find_frozen(wish.owner)) == [point.token]

    on_backend(scenario)


def test_same_attempt_never_copies_twice(on_backend: Play) -> None:
    """A lost reply must not cost a second copy: the repeat adopts the first one or is lost, and changes nothing."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        source = await stage.session.describe_source(stage.site.source)
        intent = wish.freeze_intent(source.source_id)
        point = await finished(stage.session, intent)
        files = stage.site.files()
        assert (await stage.session.freeze(intent)).state in (OperationState.DONE, OperationState.LOST)
        assert stage.site.files() == files
        assert list(await stage.session.find_frozen(wish.owner)) == [point.token]

    on_backend(scenario)


def test_two_attempts_make_two_frozen_points(on_backend: Play) -> None:
    """A new token is a new attempt, whatever the last one left."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        first = await frozen_point(stage.session, stage.site.source, wish)
        second = await frozen_point(stage.session, stage.site.source, wish)
        assert sorted(await stage.session.find_frozen(wish.owner)) == sorted([first.token, second.token])
        await until(lambda: is_gone(stage.session.release_frozen(wish.owner, first.token)))
        assert list(await stage.session.find_frozen(wish.owner)) == [second.token]

    on_backend(scenario)


def test_attempt_whose_point_in_time_was_taken_is_never_taken_again(on_backend: Play) -> None:
    """The ledger has its handle and the backend knows nothing of it: that is lost, not a reason to freeze anew."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        source = await stage.session.describe_source(stage.site.source)
        intent, point = await followed(stage.session, wish.freeze_intent(source.source_id))
        await until(lambda: is_gone(stage.session.release_frozen(wish.owner, point.token, intent.handle)))
        files = stage.site.files()
        assert (await stage.session.freeze(intent)).state is OperationState.LOST
        assert stage.site.files() == files

    on_backend(scenario)


def test_half_made_attempt_is_found_lost_and_removed(on_backend: Play) -> None:
    """What a killed attempt left is never taken for a frozen point as it is; releasing it leaves nothing."""

    async def scenario(stage: Stage) -> None:
        wish, before = Wish(), stage.site.files()
        source = await stage.session.describe_source(stage.site.source)
        intent = wish.freeze_intent(source.source_id)
        stage.site.leave_frozen_file(wish.uid, intent.token)
        assert list(await stage.session.find_frozen(wish.owner)) == [intent.token]
        assert (await stage.session.freeze(intent)).state is stage.site.traits.half_made
        await until(lambda: is_gone(stage.session.release_frozen(wish.owner, intent.token)))
        assert stage.site.files() == before
        assert list(await stage.session.find_frozen(wish.owner)) == []

    on_backend(scenario)


def test_released_frozen_point_is_gone_and_stays_gone(on_backend: Play) -> None:
    """Releasing twice, or what never was, is no error: the finalizer may repeat it."""

    async def scenario(stage: Stage) -> None:
        wish, before = Wish(), stage.site.files()
        point = await frozen_point(stage.session, stage.site.source, wish)
        await until(lambda: is_gone(stage.session.release_frozen(wish.owner, point.token)))
        assert stage.site.files() == before
        assert (await stage.session.release_frozen(wish.owner, point.token)).done is True
        assert (await stage.session.release_frozen(wish.owner, fresh_token())).done is True

    on_backend(scenario)


def test_frozen_point_in_use_is_not_released(on_backend: Play) -> None:
    """A linked clone's base stays, whoever asks, until the clone is gone."""

    async def scenario(stage: Stage) -> None:
        wish = Wish()
        intent = await cloned(stage.session, stage.site.source, wish)
        files = stage.site.files()
        with pytest.raises(RetryLater):
            await until(lambda: is_gone(stage.session.release_frozen(wish.owner, intent.frozen_token)))
        assert stage.site.files() == files
        await removed(stage.session, intent.stamp)
        await until(lambda: is_gone(stage.session.release_frozen(wish.owner, intent.frozen_token)))

    on_backend(scenario)


def test_frozen_points_of_others_are_neither_seen_nor_removed(on_backend: Play) -> None:
    """Two VMClones of one source do not know each other, not even with each other's tokens."""

    async def scenario(stage: Stage) -> None:
        mine, other = Wish(), Wish()
        point = await frozen_point(stage.session, stage.site.source, other)
        files = stage.site.files()
        assert list(await stage.session.find_frozen(mine.owner)) == []
        assert (await stage.session.release_frozen(mine.owner, point.token)).done is True
        assert stage.site.files() == files
        assert list(await stage.session.find_frozen(other.owner)) == [point.token]

    on_backend(scenario)


def test_frozen_point_of_an_unknown_source_is_refused(on_backend: Play) -> None:
    """A source that was deleted meanwhile is named as the cause, and no file is made."""

    async def scenario(stage: Stage) -> None:
        wish, before = Wish(), stage.site.files()
        intent = replace(wish.freeze_intent("x"), source_id="5b2e3f1e-0000-4000-8000-0000000000aa")
        with pytest.raises(SourceNotFound):
            await stage.session.freeze(intent)
        assert stage.site.files() == before

    on_backend(scenario)
