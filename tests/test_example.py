import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from records.tfrecord import example


def tensorflow_example(features):
    message = tf.train.Example()
    for key, values in features.items():
        feature = message.features.feature[key]
        if values and isinstance(values[0], bytes):
            feature.bytes_list.value.extend(values)
        elif values and isinstance(values[0], float):
            feature.float_list.value.extend(values)
        else:
            feature.int64_list.value.extend(values)
    return message


def test_encoding_is_what_tensorflow_reads():
    data = example.encode({"image": b"\x89PNG" * 100, "text": "äß0".encode(), "": b""})
    message = tf.train.Example.FromString(data)
    assert message == tensorflow_example({"image": [b"\x89PNG" * 100], "text": ["äß0".encode()], "": [b""]})
    assert example.decode(data) == {"image": b"\x89PNG" * 100, "text": "äß0".encode(), "": b""}


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=40_000), min_size=1, max_size=5))
def test_strings_are_decoded_as_tensorflow_wrote_them(features):
    data = tensorflow_example({key: [value] for key, value in features.items()}).SerializeToString()
    assert example.decode(data) == features
    assert tf.train.Example.FromString(example.encode(features)) == tf.train.Example.FromString(data)


others = st.one_of(
    st.lists(st.binary(max_size=300), min_size=2),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
)


@given(others)
def test_other_values_than_one_string_are_refused(values):
    data = tensorflow_example({"image": [b"12"], "text": values}).SerializeToString()
    with pytest.raises(ValueError):
        example.decode(data)


@given(st.dictionaries(st.text(max_size=3), st.binary(max_size=9), max_size=3), st.data())
def test_what_a_changed_byte_leaves_is_refused_or_read_as_tensorflow_reads_it(features, data):
    changed = bytearray(example.encode(features))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = example.decode(bytes(changed))
    except ValueError:
        return
    read = tf.train.Example.FromString(bytes(changed)).features.feature
    assert {key: list(feature.bytes_list.value) for key, feature in read.items()} == {
        key: [value] for key, value in decoded.items()
    }


@given(st.binary(max_size=200))
def test_anything_else_is_a_value_error(data):
    try:
        decoded = example.decode(data)
    except ValueError:
        return
    assert isinstance(decoded, dict)


def test_every_truncation_is_refused_or_shorter():
    data = example.encode({"image": b"0123456789", "text": b"42"})
    for cut in range(1, len(data)):
        with pytest.raises(ValueError):
            example.decode(data[:cut])
