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
    assert example.decode(data) == {"image": [b"\x89PNG" * 100], "text": ["äß0".encode()], "": [b""]}


values = st.one_of(
    st.lists(st.binary(max_size=300)),
    st.lists(st.floats(width=32, allow_nan=False)),
    st.lists(st.integers(-(2**63), 2**63 - 1)),
)


@given(st.dictionaries(st.text(max_size=20), values, max_size=5))
def test_decoding_is_what_tensorflow_wrote(features):
    data = tensorflow_example(features).SerializeToString()
    assert example.decode(data) == features


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
