"""Records in an object store: whole or not at all there, and checked byte by byte on the way back."""

import json

import pytest

pytest.importorskip("fsspec", reason="fsspec is not installed: pip install -e '.[s3]'")
import fsspec

from records.dataset.manifest import FILE_NAME, Manifest
from records.dataset.store import Store, is_address
from records.errors import DamagedRecords, DigitwiseError
from tests.training_fixtures import make_records

ADDRESS = "memory://bucket/codes"


@pytest.fixture
def files():
    """The object store in memory, emptied."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


@pytest.fixture
def records(tmp_path):
    make_records(tmp_path / "records")
    return tmp_path / "records"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def upload(records, **given):
    return list(Store(ADDRESS).upload(records, **given))


def test_what_is_uploaded_comes_back_byte_by_byte(files, records, tmp_path):
    assert not Store(ADDRESS).holds(records)
    shards = upload(records)
    assert Store(ADDRESS).holds(records)
    assert sorted(shard.file for shard in shards) == sorted(
        shard.file for shards in Manifest.load(records).splits.values() for shard in shards
    )
    assert len(list(Store(ADDRESS + "/").fetch(tmp_path / "copy"))) == len(shards)
    assert contents(tmp_path / "copy") == contents(records)


def test_an_upload_that_is_stopped_is_not_taken_for_records_and_continues(files, records, tmp_path, monkeypatch):
    put = type(files).put_file
    done = []

    def stops(self, source, target, **given):
        if done:
            raise OSError("the line is dead")
        done.append(target)
        return put(self, source, target, **given)

    monkeypatch.setattr(type(files), "put_file", stops)
    with pytest.raises(DigitwiseError, match=r"^memory://bucket/codes/stripes-.*: OSError: the line is dead$"):
        upload(records)
    with pytest.raises(DigitwiseError, match="there are no records of digitwise, which have a manifest.json"):
        list(Store(ADDRESS).fetch(tmp_path / "copy"))
    monkeypatch.setattr(type(files), "put_file", lambda self, source, target, **_: again.append(target))
    again = []
    with pytest.raises(DigitwiseError):  # nothing is copied now, so the next shard is missing
        upload(records)
    assert not set(again) & set(done)
    monkeypatch.setattr(type(files), "put_file", put)
    upload(records)
    assert Store(ADDRESS).holds(records)


def test_other_records_are_replaced_only_when_asked_for(files, records, tmp_path):
    upload(records)
    make_records(tmp_path / "other", train=20)
    with pytest.raises(DigitwiseError, match="^memory://bucket/codes holds other records than .*: give --overwrite"):
        upload(tmp_path / "other")
    assert Store(ADDRESS).holds(records)
    files.pipe_file("/bucket/codes/note.txt", b"mine")
    upload(tmp_path / "other", overwrite=True)
    assert Store(ADDRESS).holds(tmp_path / "other")
    names = {path.rpartition("/")[2] for path in files.ls("/bucket/codes", detail=False)}
    assert names == {*contents(tmp_path / "other"), "note.txt"}


def test_a_damaged_shard_does_not_come_back_and_the_others_are_kept(files, records, tmp_path):
    shards = upload(records)
    path = f"/bucket/codes/{shards[-1].file}"
    whole = files.cat_file(path)
    files.pipe_file(path, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedRecords, match=f"^{ADDRESS}/{shards[-1].file} is not the shard that was written"):
        list(Store(ADDRESS).fetch(tmp_path / "copy"))
    assert not (tmp_path / "copy" / FILE_NAME).exists()
    assert shards[-1].file not in contents(tmp_path / "copy")
    files.pipe_file(path, whole)
    list(Store(ADDRESS).fetch(tmp_path / "copy"))
    assert contents(tmp_path / "copy") == contents(records)


def test_a_damaged_shard_is_not_uploaded(files, records):
    path = sorted(records.glob("*.tfrecord-*"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedRecords, match="is not the shard that the manifest names; write it again"):
        upload(records)
    assert Store(ADDRESS).manifest() is None


def test_names_of_shards_stay_in_their_folder(files, records, tmp_path):
    upload(records)
    content = json.loads((records / FILE_NAME).read_text())
    content["splits"]["train"][0]["file"] = "../codes-train.tfrecord-00000-of-00001"
    files.pipe_file(f"/bucket/codes/{FILE_NAME}", json.dumps(content).encode())
    with pytest.raises(DamagedRecords, match=r"has a shard \.\./codes-train"):
        list(Store(ADDRESS).fetch(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("address", ["/records", "file:///records", "records"])
def test_folders_are_no_stores(address):
    with pytest.raises(DigitwiseError, match="is no address of an object store, such as s3://bucket/codes"):
        Store(address)


def test_addresses():
    assert is_address("s3://bucket/codes") and is_address("gs://b/c")
    assert not is_address("s3:/bucket") and not is_address("C:\\records") and not is_address("a://")


def test_records_are_uploaded_trained_and_read_from_there(call_main, files, tmp_path, monkeypatch):
    """The stages; where they would train, they only say what they would train on."""

    trained = []
    monkeypatch.setattr("pipeline.training.train.train", lambda config, workdir, records: trained.append(records))
    arguments = ("--stage=records", "--source=synthetic", "--num_images=60", f"--upload={ADDRESS}")
    result = call_main(*arguments, "--workdir=w")
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith(f"records: 60 images copied to {ADDRESS}\n")
    again = call_main(*arguments, "--workdir=w")
    assert again.stdout.endswith(f"records: nothing to do, {ADDRESS} has the same records\n")
    other = call_main(*arguments, "--workdir=other", "--seed=1")
    assert other.returncode == 1
    assert other.stderr == (
        f"error: {ADDRESS} holds other records than other/records: give --overwrite to replace them, or another one\n"
    )
    assert not (tmp_path / "other" / "records").exists()
    for _ in range(2):
        result = call_main("--stage=train", f"--records={ADDRESS}", "--workdir=t")
        assert result.returncode == 0, result.stderr
    first, second = trained
    assert first == second
    assert contents(tmp_path / first).items() <= contents(tmp_path / "w" / "records").items()


def test_addresses_where_none_can_be(call_main):
    result = call_main("--stage=generate", "--workdir=s3://bucket/w")
    assert result.stderr.startswith("error: --workdir=s3://bucket/w: expected a folder; --upload copies records to")
    result = call_main("--stage=records", "--upload=bucket", "--workdir=w")
    assert result.stderr == (
        "error: --upload=bucket: expected an address of an object store, such as s3://bucket/codes\n"
    )
    result = call_main("--stage=train", "--records=memory://nowhere/codes", "--workdir=w")
    assert result.stderr.startswith("error: --records=memory://nowhere/codes: there is no manifest.json; records that")


@pytest.mark.slow
def test_the_same_on_an_s3_server(records, tmp_path, monkeypatch):
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    pytest.importorskip("s3fs")
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        store = Store("s3://digitwise-tests/codes")
        with pytest.raises(DigitwiseError, match="^s3://digitwise-tests/codes"):
            list(store.upload(records))  # there is no such bucket
        store._files.mkdir("digitwise-tests")
        list(store.upload(records))
        assert store.holds(records)
        make_records(tmp_path / "other", train=20)
        with pytest.raises(DigitwiseError, match="holds other records"):
            list(store.upload(tmp_path / "other"))
        list(store.upload(tmp_path / "other", overwrite=True))
        list(Store("s3://digitwise-tests/codes").fetch(tmp_path / "copy"))
        assert contents(tmp_path / "copy") == contents(tmp_path / "other")
    finally:
        running.stop()
