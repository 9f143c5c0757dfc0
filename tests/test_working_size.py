import pytest

from alexnet.working_size import WorkingSize, working_size


@pytest.mark.parametrize(
    "size, lengths, expected",
    [
        ((240, 50), (5, 8), WorkingSize(50, 240)),  # 30 pixels a character: as they are
        ((160, 60), (4, 4), WorkingSize(48, 128)),  # 40 of them: reduced
        ((200, 50), (5, 5), WorkingSize(40, 160)),
        ((50, 22), (4, 4), WorkingSize(56, 128)),  # enlarged: 127 pixels for 4 characters
        ((95, 35), (4, 4), WorkingSize(47, 128)),
        ((40, 16), (4, 4), WorkingSize(51, 128)),
        ((800, 100), (10, 10), WorkingSize(40, 320)),  # reduced: 32 pixels a character
        ((260, 36), (1, 10), WorkingSize(44, 320)),  # those with 10 characters decide
        ((100, 100), (5, 5), WorkingSize(128, 128)),  # no higher than 128
        ((60, 400), (1, 1), WorkingSize(128, 24)),
    ],
)
def test_characters_get_about_32_pixels(size, lengths, expected):
    assert working_size([size] * len(lengths), lengths) == expected


def test_varying_widths_are_padded_to_the_widest():
    sizes, lengths = [(370, 80), (575, 80), (780, 80)], [4, 6, 8]
    assert working_size(sizes, lengths) == WorkingSize(height=32, width=312)


def test_one_odd_image_in_ten_decides_nothing():
    assert working_size([(128, 48)] * 19 + [(128, 480)], [4] * 20) == WorkingSize(48, 128)


def test_a_stray_wide_image_is_squeezed():
    few = working_size([(160, 60)] * 99 + [(2000, 60)], [4] * 100)
    many = working_size([(160, 60)] * 999 + [(2000, 60)], [4] * 1000)
    assert few.width > 1000 and many == working_size([(160, 60)], [4])


def test_very_wide_images_are_squeezed():
    assert working_size([(8000, 40)], [100]).width == 1024


def test_each_image_needs_a_length():
    with pytest.raises(ValueError, match="1 sizes and 2 lengths of codes"):
        working_size([(160, 60)], [4, 4])
