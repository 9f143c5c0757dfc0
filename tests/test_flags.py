import dataclasses
import pathlib

import pytest
from absl import flags

from flags import options
from pipeline.config import RunConfig, TrainConfig
from pipeline.values import SettingError
from tests.conftest import ROOT


def test_every_setting_has_a_flag():
    for _, settings, helps in options.GROUPS:
        fields = {field.name for field in dataclasses.fields(settings) if not dataclasses.is_dataclass(field.default)}
        named = {
            options.field_of_flag(settings, name) for _, s, helps in options.GROUPS if s is settings for name in helps
        }
        assert named == fields, settings


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
    with pytest.raises(SettingError, match="--num_images=0: it takes a number from 1"):
        options.config_from_flags(values)


@pytest.mark.parametrize("network", ["alexnet_v2", "three_conv", "nptu", "percent4", "vgg"])
def test_ctc_takes_a_network_with_columns(network):
    said = f"--network={network} has no columns for --readout=ctc: take --network=alexnet or crnn"
    with pytest.raises(SettingError, match=said):
        TrainConfig(network=network, readout="ctc")


def test_crnn_takes_ctc():
    assert TrainConfig(network="crnn", readout="ctc").network == "crnn"
    with pytest.raises(SettingError, match="--network=crnn has columns and no positions for --readout=positions"):
        TrainConfig(network="crnn")


@pytest.mark.parametrize("recipe", sorted((ROOT / "flags").glob("*.flags")), ids=lambda path: path.stem)
def test_every_recipe_can_be_used(recipe):
    values = flags.FlagValues()
    options.define(values)
    lines = [line for line in pathlib.Path(recipe).read_text().splitlines() if line.startswith("--")]
    values(["main", *lines])
    assert options.config_from_flags(values)
    assert f"--flagfile=flags/{recipe.name}" in recipe.read_text(), "a recipe opens with its exact command"
