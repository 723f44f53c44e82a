from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from eventstore._uids import check_uid, uuid7, uuid7_time_us


@given(st.integers(0, 2**47 * 1_000), st.binary(min_size=10, max_size=10))
def test_uuid7_carries_its_time_and_is_well_formed(now_us: int, chance: bytes) -> None:
    uid = uuid7(now_us=now_us, random_bytes=lambda size: chance[:size])

    assert (UUID(uid).version, UUID(uid).variant) == (7, RFC_4122)
    assert check_uid(uid, field="uid") == uid
    assert uuid7_time_us(uid) == now_us // 1_000 * 1_000


def test_other_uuids_tell_no_time() -> None:
    assert uuid7_time_us("5d3b1c1e-0f5a-4c39-9d5e-3a6b3f0f9b11") is None
