from __future__ import annotations

import ctypes
from pathlib import Path

import confluent_kafka
import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.events import MAX_BYTES, MAX_EVENTS
from bridge.log.record import (
    TICK,
    AppendRecord,
    Headers,
    Malformed,
    Place,
    Record,
    Tick,
    headers_of,
    parse,
    partition_of,
    stream_of,
)

PATIENT = settings(deadline=None)

PLACE = Place("lighthouse.account", "account", 0, 2)
KEY = b"account/a"
VALUE = b"\0\0\0\0\7body"
ID, REQUEST = bytes(range(16)), bytes(16)
HEADERS: Headers = [
    ("lh_format", b"1"),
    ("lh_append", ID),
    ("lh_expected", b"0"),
    ("lh_count", b"1"),
    ("lh_request", REQUEST),
]


def record(key: bytes | None = KEY, value: bytes | None = VALUE, headers: Headers = HEADERS) -> Record:
    return Record(5, key, value, headers, 1_000)


def with_header(name: str, value: bytes | None) -> Headers:
    return [(known, value if known == name else found) for known, found in HEADERS]  # type: ignore[misc]


def without(name: str) -> Headers:
    return [header for header in HEADERS if header[0] != name]


def test_a_well_formed_append_is_read() -> None:
    assert parse(record(), PLACE) == AppendRecord("account/a", ID, 0, 1, REQUEST, 7, VALUE)


def test_any_version_may_be_expected() -> None:
    parsed = parse(record(headers=with_header("lh_expected", b"any")), PLACE)
    assert isinstance(parsed, AppendRecord)
    assert parsed.expected is None


def test_headers_of_other_makers_are_ignored_even_twice() -> None:
    foreign = [*HEADERS, ("traceparent", b"00-1"), ("traceparent", b"00-2"), ("x", b""), ("lh_other", b"?")]
    assert parse(record(headers=foreign), PLACE) == parse(record(), PLACE)


@pytest.mark.parametrize("expected", [b"0", b"7", b"999999999999999999"])
@pytest.mark.parametrize("count", [b"1", b"1000"])
def test_numbers_at_their_limits(expected: bytes, count: bytes) -> None:
    headers = [*HEADERS[:2], ("lh_expected", expected), ("lh_count", count), HEADERS[4]]
    parsed = parse(record(headers=headers), PLACE)
    assert isinstance(parsed, AppendRecord)
    assert (parsed.expected, parsed.count) == (int(expected), int(count))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "no key"),
        (b"", "not a stream's name"),
        (b"account", "not a stream's name"),
        (b"account/", "not a stream's name"),
        (b"/a", "not a stream's name"),
        (b"account/a b", "not a stream's name"),
        (b"account/a\n", "not a stream's name"),
        ("account/ä".encode(), "not a stream's name"),
        (b"account/\xff", "not a stream's name"),
        (b"account/" + b"a" * 248, "not a stream's name"),
        (b"order/a", "does not belong to category account"),
        (b"accounts/a", "does not belong to category account"),
        (b"account/c", "belongs to partition 1 of 2"),
    ],
)
def test_r1_keys(key: bytes | None, reason: str) -> None:
    verdict = parse(record(key=key), PLACE)
    assert isinstance(verdict, Malformed)
    assert reason in verdict.reason


def test_r1_the_longest_key() -> None:
    key = b"account/" + b"a" * 247
    assert isinstance(parse(record(key=key), Place("t", "account", partition_of(key, 2), 2)), AppendRecord)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "lh_format is None"),
        *((without(name), name) for name, _ in HEADERS),
        *((with_header(name, None), name) for name, _ in HEADERS),
        *(([*HEADERS, header], "twice") for header in HEADERS),
        (with_header("lh_format", b"2"), "lh_format"),
        (with_header("lh_append", ID[1:]), "lh_append"),
        (with_header("lh_append", ID + b"x"), "lh_append"),
        (with_header("lh_request", b""), "lh_request"),
        (with_header("lh_request", REQUEST + b"x"), "lh_request"),
        *(
            (with_header("lh_expected", bad), "lh_expected")
            for bad in (b"", b"-1", b"+1", b"01", b" 1", b"1_0", b"ANY")
        ),
        (with_header("lh_expected", b"1" * 19), "lh_expected"),
        (with_header("lh_expected", "١".encode()), "lh_expected"),
        *((with_header("lh_count", bad), "lh_count") for bad in (b"", b"0", b"-1", b"01", b"1.0", b"any", b"1\n")),
        (with_header("lh_count", b"%d" % (MAX_EVENTS + 1)), "lh_count"),
    ],
)
def test_r1_headers(headers: Headers, reason: str) -> None:
    verdict = parse(record(headers=headers), PLACE)
    assert isinstance(verdict, Malformed)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "too short"),
        (b"", "too short"),
        (VALUE[:5], "too short"),
        (b"\1" + VALUE[1:], "magic byte is 1"),
        (VALUE + bytes(MAX_BYTES - len(VALUE) + 1), "more than"),
    ],
)
def test_r1_values(value: bytes | None, reason: str) -> None:
    verdict = parse(record(value=value), PLACE)
    assert isinstance(verdict, Malformed)
    assert reason in verdict.reason


def test_r1_the_longest_value() -> None:
    assert isinstance(parse(record(value=VALUE.ljust(MAX_BYTES, b"x")), PLACE), AppendRecord)


@pytest.mark.parametrize("value", [b"", None])
def test_a_tick(value: bytes | None) -> None:
    assert isinstance(parse(record(None, value, [("lh_tick", b"1"), ("traceparent", b"x")]), PLACE), Tick)


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (KEY, b"", [("lh_tick", b"1")]),
        (None, b"x", [("lh_tick", b"1")]),
        (None, b"", [("lh_tick", b"1"), ("lh_format", b"1")]),
        (None, b"", [("lh_tick", b"1"), ("lh_tick", b"1")]),
        (KEY, VALUE, [*HEADERS, ("lh_tick", b"1")]),
    ],
)
def test_what_is_no_tick(key: bytes | None, value: bytes, headers: Headers) -> None:
    assert isinstance(parse(record(key, value, headers), PLACE), Malformed)


def test_a_record_without_headers_is_void() -> None:
    assert isinstance(parse(Record(0, KEY, VALUE, None, 0), PLACE), Malformed)  # type: ignore[arg-type]


@PATIENT
@given(st.binary(min_size=16, max_size=16), st.none() | st.integers(0, 10**18 - 1), st.integers(1, MAX_EVENTS))
def test_what_is_written_is_read(append: bytes, expected: int | None, count: int) -> None:
    headers = headers_of(append, expected, count, REQUEST, "00-ab")
    written = [(name, value) for name, value in headers if isinstance(value, bytes)]
    assert parse(record(headers=written), PLACE) == AppendRecord(
        "account/a", append, expected, count, REQUEST, 7, VALUE
    )


@PATIENT
@given(
    st.none() | st.binary(max_size=12) | st.just(KEY),
    st.none() | st.binary(max_size=12),
    st.lists(st.tuples(st.sampled_from([name for name, _ in HEADERS] + ["lh_tick"]), st.none() | st.binary())),
)
def test_whatever_a_record_holds_it_has_a_verdict(key: bytes | None, value: bytes | None, headers: Headers) -> None:
    assert isinstance(parse(record(key, value, headers), PLACE), (Malformed, Tick, AppendRecord))


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_that_of_the_java_client(key: bytes, hashed: int) -> None:
    """The values of org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    for partitions in (1, 2, 16, 1024):
        assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


@PATIENT
@given(st.binary(min_size=1, max_size=255), st.integers(1, 1024))
def test_murmur2_is_that_of_aiokafka_and_librdkafka(key: bytes, partitions: int) -> None:
    known = list(range(partitions))
    assert partition_of(key, partitions) == DefaultPartitioner()(key, known, known) == librdkafka(key, partitions)


def librdkafka(key: bytes, partitions: int) -> int:
    """The partition by the C client's own exported partitioner, which takes no topic for a key."""
    return int(LIBRARY.rd_kafka_msg_partitioner_murmur2(None, key, len(key), partitions, None, None))


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parent
    found = sorted(folder.parent.glob("confluent_kafka.libs/librdkafka*")) or sorted(folder.glob("**/librdkafka*"))
    library = ctypes.CDLL(str(found[0]))
    library.rd_kafka_msg_partitioner_murmur2.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    return library


LIBRARY = _library()


def test_stream_of() -> None:
    assert stream_of(b"account/a/b:c") == "account/a/b:c"
    assert stream_of(b"\xe4") is None
    assert PLACE.space == "lighthouse.account-0"
    assert isinstance(TICK, Tick)


ODD = st.sampled_from([None, b"", b"0", b"1", b"01", b"any", b"1000", b"1001", b"-1", b"9" * 19, bytes(16), bytes(15)])
ODD_HEADERS = st.fixed_dictionaries({}, optional=dict.fromkeys((name for name, _ in HEADERS), ODD))
ODD_KEYS = st.sampled_from(
    [None, b"", KEY, b"account/b", b"account", b"other/a", "account/ä".encode(), b"account/" + b"a" * 248]
)
ODD_VALUES = st.sampled_from([None, b"", VALUE, VALUE[:5], b"\1" + VALUE[1:], bytes(MAX_BYTES), bytes(MAX_BYTES + 1)])


@PATIENT
@given(ODD_KEYS, ODD_VALUES, ODD_HEADERS)
def test_the_usual_layout_is_judged_as_any_other(
    key: bytes | None, value: bytes | None, changed: dict[str, bytes | None]
) -> None:
    """A header that nobody knows takes the record off the short way, and changes nothing."""
    headers: Headers = [(name, changed.get(name, found)) for name, found in HEADERS]  # type: ignore[misc]
    strange = record(key, value, [*headers, ("stranger", b"")])
    assert parse(record(key, value, headers), PLACE) == parse(strange, PLACE)
