import dataclasses
import pathlib

import pytest
from absl import flags

from flags import options
from pipeline.config import RunConfig, TrainConfig
from pipeline.values import SettingError
from tests.conftest import ROOT


def test_every_setting_has_a_flag():
    for group in options.GROUPS:
        fields = dataclasses.fields(group.settings)
        names = {field.name for field in fields if not dataclasses.is_dataclass(field.default)}
        assert {options.field_of_flag(group.settings, name) for name in group.helps} == names, group.settings


def test_the_defaults_are_those_of_the_settings():
    assert options.config_from_flags() == RunConfig()


def test_flags_add_up_to_settings():
    values = flags.FlagValues()
    options.define(values)
    values(["main", "--stage=test,check", "--num_images=7", "--fonts=a.ttf,b.ttf", "--resize", "--alphabet=ab"])
    config = options.config_from_flags(values)
    assert config.ordered_stages == ("check", "test")
    assert config.generate.num_images == 7
    assert config.generate.drawing.fonts == ("a.ttf", "b.ttf")
    assert config.records.resize
    values(["main", "--num_images=0"])
    with pytest.raises(SettingError, match="--num_images=0: expected a number from 1"):
        options.config_from_flags(values)


@pytest.mark.parametrize("network", ["alexnet_v2", "three_conv", "nptu", "percent4", "vgg"])
def test_ctc_takes_a_network_with_columns(network):
    said = f"--readout=ctc does not work with --network={network}: use --network=alexnet or alexnet_large or crnn"
    with pytest.raises(SettingError, match=said):
        TrainConfig(network=network, readout="ctc")


def test_crnn_takes_ctc():
    assert TrainConfig(network="crnn", readout="ctc").network == "crnn"
    with pytest.raises(SettingError, match="--network=crnn does not work with --readout=positions: use --readout=ctc"):
        TrainConfig(network="crnn")


@pytest.mark.parametrize("recipe", sorted((ROOT / "flags").glob("*.flags")), ids=lambda path: path.stem)
def test_every_recipe_can_be_used(recipe):
    values = flags.FlagValues()
    options.define(values)
    lines = [line for line in pathlib.Path(recipe).read_text().splitlines() if line.startswith("--")]
    values(["main", *lines])
    assert options.config_from_flags(values)
    assert f"--flagfile=flags/{recipe.name}" in recipe.read_text(), "a recipe opens with its exact command"
