"""The appendix's plumbing: data, views, learning rate, checkpoints, batch normalisation, evaluation, export."""

import io
import json
import tarfile

import cv2
import mxnet as mx
import numpy as np
import pytest

from workshop import models
from workshop.inspection import evaluation
from workshop.models.flaky_server import FlakyServer
from workshop.training import export, imagenette, loop, resnet

pytestmark = pytest.mark.slow

RNG = np.random.default_rng
SIZE = loop.INPUT_SIZE


# Data


@pytest.fixture
def pictures(tmp_path):
    return imagenette.generate(tmp_path / "pictures", train=2, val=1)


def pack(folder, archive, top="imagenette-tiny"):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, top)
    return imagenette.md5(archive)


@pytest.fixture
def offered(pictures, tmp_path):
    """A server that offers a tiny archive, and the table of archives that names it."""
    (tmp_path / "offered").mkdir()
    archive = tmp_path / "offered" / "imagenette-tiny.tgz"
    expected = pack(pictures, archive)
    with FlakyServer(archive.parent) as server:
        yield server, {"imagenette-tiny": (server.url + archive.name, expected)}


def fetch(table, folder, **options):
    return imagenette.fetch("imagenette-tiny", folder, table, progress=False, pause=0.01, **options)


def test_archive_is_fetched_checked_and_unpacked_once(offered, tmp_path):
    server, table = offered
    found = fetch(table, tmp_path / "a")
    files, labels = loop.list_split(found / "train", imagenette.WNIDS)
    assert len(files) == 20 and labels.tolist() == sorted(list(range(10)) * 2)
    asked = len(server.requests)
    assert fetch(table, tmp_path / "a") == found and len(server.requests) == asked
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["imagenette-tiny"]


def test_broken_download_goes_on_where_it_stopped(offered, tmp_path):
    server, table = offered
    server.hang_ups = 1
    with pytest.raises(models.SourceError, match="are kept"):
        fetch(table, tmp_path / "a", attempts=1)
    assert (fetch(table, tmp_path / "a") / "val").is_dir()
    assert server.requests[-1].start > 0


def test_archive_with_another_md5_is_refused_and_dropped(offered, tmp_path):
    server, table = offered
    server.flip_a_bit = True
    with pytest.raises(imagenette.DataError, match=r"expected MD5 [0-9a-f]{32}, got [0-9a-f]{32}"):
        fetch(table, tmp_path / "a")
    assert not any((tmp_path / "a").iterdir())


def test_unknown_archive_names_the_known_ones(tmp_path):
    with pytest.raises(imagenette.DataError, match="imagenette2-160, imagenette2-320"):
        imagenette.fetch("imagewoof", tmp_path)


def member(name, kind=tarfile.REGTYPE, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    "bad",
    [
        member("../outside.txt"),
        member("/tmp/outside.txt"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("hard", tarfile.LNKTYPE, "../outside.txt"),
        member("pipe", tarfile.FIFOTYPE),
        member("large", size=2000),
    ],
    ids=lambda info: info.name,
)
def test_unsafe_archive_leaves_nothing_behind(bad, tmp_path):
    archive = tmp_path / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(member("good.txt", size=4), io.BytesIO(b"good"))
        tar.addfile(bad, io.BytesIO(bytes(bad.size)))
    # An absolute name is made relative by tarfile's filter: harmless, so it may be unpacked, but only inside.
    if bad.name.startswith("/"):
        imagenette.unpack(archive, tmp_path / "unpacked", limit=1000)
        assert (tmp_path / "unpacked" / "tmp" / "outside.txt").is_file()
        return
    with pytest.raises(imagenette.DataError, match="bad.tar"):
        imagenette.unpack(archive, tmp_path / "unpacked", limit=1000)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.tar"]


def test_truncated_archive_is_refused(tmp_path, pictures):
    archive = tmp_path / "cut.tgz"
    pack(pictures, archive)
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(imagenette.DataError, match="does not unpack"):
        imagenette.unpack(archive, tmp_path / "unpacked")
    assert not (tmp_path / "unpacked").exists()


def test_a_class_without_pictures_is_named(pictures):
    for file in (pictures / "val" / imagenette.WNIDS[3]).iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match=imagenette.WNIDS[3]):
        loop.list_split(pictures / "val", imagenette.WNIDS)


def test_pictures_are_read_as_rgb_at_the_networks_size(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((50, 90, 3), (0, 0, 255), np.uint8))
    images = loop.read_images([tmp_path / "red.png"])
    assert images.shape == (1, SIZE, SIZE, 3) and images.dtype == np.uint8
    assert (images == (255, 0, 0)).all()


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "text.JPEG").write_text("no picture")
    with pytest.raises(ValueError, match=r"text\.JPEG does not decode"):
        loop.read_images([tmp_path / "text.JPEG"])


# Views and batches


def test_view_has_the_size_asked_for_and_stays_in_range():
    image = RNG(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    views = [loop.augment(image, 96, 0.35, RNG(seed)) for seed in range(20)]
    assert all(view.shape == (3, 96, 96) and view.dtype == np.float32 for view in views)
    assert min(view.min() for view in views) >= 0 and max(view.max() for view in views) <= 255
    assert not np.array_equal(views[0], views[1])
    np.testing.assert_array_equal(views[5], loop.augment(image, 96, 0.35, RNG(5)))


def test_a_view_is_the_same_with_each_numpy():
    """NumPy 2 keeps float64 where NumPy 1 did not: https://numpy.org/neps/nep-0050-scalar-promotion.html"""
    image = (np.arange(224 * 224 * 3).reshape(224, 224, 3) % 251).astype(np.uint8)
    view = loop.augment(image, 128, 0.3, RNG(7))
    assert (view.dtype, view.shape) == (np.float32, (3, 128, 128))
    assert view[[0, 1, 2], [0, 64, 127], [0, 64, 127]] == pytest.approx([211.587906, 200.494507, 56.886036], rel=1e-6)
    assert view.mean(dtype=np.float64) == pytest.approx(110.08418, rel=1e-6)


def test_an_epoch_has_every_picture_at_most_once_with_its_own_label():
    images = np.repeat(np.arange(10, dtype=np.uint8), SIZE * SIZE * 3).reshape(10, SIZE, SIZE, 3)
    seen = []
    for batch in loop.batches(images, np.arange(10), 4, 16, 1.0, RNG(1)):
        pixels, labels = batch.data[0].asnumpy(), batch.label[0].asnumpy()
        assert pixels.shape == (4, 3, 16, 16)
        assert (np.abs(pixels.mean(axis=(1, 2, 3)) / np.maximum(labels, 1) - 1) < 0.7)[labels > 0].all()
        seen += labels.tolist()
    assert len(seen) == len(set(seen)) == 8


def test_learning_rate_rises_in_a_line_then_falls_to_nothing():
    rate = loop.one_cycle(200, 0.1)
    rates = np.array([rate(step) for step in range(201)])
    assert rates[0] == pytest.approx(0.005) and rates[30] == pytest.approx(0.1) and rates[-1] == pytest.approx(0)
    assert (np.diff(rates[:30]) > 0).all() and (np.diff(rates[31:]) < 0).all()


def test_plan_lists_every_epoch():
    assert loop.plan([[96, 2, 0.35], [128, 1, 0.5]]) == [
        loop.Epoch(96, 0.35),
        loop.Epoch(96, 0.35),
        loop.Epoch(128, 0.5),
    ]


# Checkpoints

OPTIMIZER = {"learning_rate": 0.01, "momentum": 0.9, "wd": 5e-4}
RECORD = {"size": 32, "min_area": 0.5}


def one_batch(size=32, count=4):
    return mx.io.DataBatch([mx.nd.array(RNG(0).uniform(0, 255, (count, 3, size, size)))], [mx.nd.arange(count)])


def step(module):
    module.forward_backward(one_batch())
    module.update()


def weights(module):
    return {name: value.asnumpy() for name, value in module.get_params()[0].items()}


def test_restored_module_goes_on_exactly_as_if_never_stopped(tmp_path):
    mx.random.seed(1)
    checkpoint = loop.Checkpoint(tmp_path)
    module = loop.make_module(resnet.resnet18(10, 0.1), 4, 32, dict(OPTIMIZER), checkpoint)
    step(module)
    checkpoint.save(module, RECORD)
    step(module)
    again = loop.Checkpoint(tmp_path)
    assert again.epoch == 1
    other = loop.make_module(resnet.resnet18(10, 0.1), 4, 32, dict(OPTIMIZER), again)
    step(other)
    # Without the optimizer's momentum the second step would be another one.
    for (name, expected), got in zip(weights(module).items(), weights(other).values(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_kill_while_saving_keeps_the_epoch_before(tmp_path, monkeypatch):
    checkpoint = loop.Checkpoint(tmp_path)
    module = loop.make_module(resnet.resnet18(10), 4, 32, dict(OPTIMIZER), checkpoint)
    checkpoint.save(module, RECORD)
    before = weights(module)
    step(module)
    monkeypatch.setattr(module, "save_optimizer_states", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(module, RECORD)
    again = loop.Checkpoint(tmp_path)
    assert again.epoch == 1
    arguments, _ = again.parameters()
    np.testing.assert_array_equal(arguments["conv0_weight"].asnumpy(), before["conv0_weight"])


def test_only_the_last_epochs_files_stay(tmp_path):
    checkpoint = loop.Checkpoint(tmp_path)
    module = loop.make_module(resnet.resnet18(10), 4, 32, dict(OPTIMIZER), checkpoint)
    checkpoint.save(module, RECORD)
    checkpoint.save(module, RECORD)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-0002.params",
        "epoch-0002.states",
        "history.json",
    ]


def test_state_of_another_schedule_is_refused(tmp_path):
    (tmp_path / "history.json").write_text(json.dumps([RECORD]))
    checkpoint = loop.Checkpoint(tmp_path)
    checkpoint.check(loop.plan([[32, 2, 0.5]]))
    with pytest.raises(ValueError, match="another schedule"):
        checkpoint.check(loop.plan([[64, 2, 0.5]]))


# Batch normalisation


def test_input_statistics_are_those_of_all_pixels():
    images = RNG(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    mean, variance = loop.input_statistics(images)
    np.testing.assert_allclose(mean, images.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(variance, images.astype(float).var(axis=(0, 1, 2)))


def test_settling_measures_what_prediction_will_meet(monkeypatch):
    """Mean and variance become those of the very pictures; weights and the input's own statistics stay."""
    size = 64  # the network takes any: 40 passes at 224 pixels are 20 s of CPU
    monkeypatch.setattr(loop, "INPUT_SIZE", size)
    symbol = resnet.resnet18(10)
    mx.random.seed(2)
    images = RNG(0).integers(0, 256, (8, size, size, 3), np.uint8)
    start = loop.make_module(symbol, 4, size).get_params()
    start = loop.with_input_statistics(start, *loop.input_statistics(images))
    batches = list(loop.plain_batches(images[:4], np.zeros(4), 4)) * 40
    arguments, auxiliary = loop.settle_batch_norm(symbol, start, batches, 4)
    assert arguments is start[0]
    for name in ("bn_data_moving_mean", "bn_data_moving_var"):
        np.testing.assert_array_equal(auxiliary[name].asnumpy(), start[1][name].asnumpy())
    below = symbol.get_internals()["conv0_output"].bind(
        mx.cpu(),
        {**{name: arguments[name] for name in ("bn_data_gamma", "bn_data_beta", "conv0_weight")},
         "data": batches[0].data[0]},
        aux_states={name: auxiliary[name] for name in ("bn_data_moving_mean", "bn_data_moving_var")},
    )  # fmt: skip
    output = below.forward(is_train=False)[0].asnumpy()
    # The first half of the batches is dropped, and what is left of the start then is 0.9 to the 20th and less.
    np.testing.assert_allclose(auxiliary["bn0_moving_mean"].asnumpy(), output.mean(axis=(0, 2, 3)), atol=0.1)
    np.testing.assert_allclose(auxiliary["bn0_moving_var"].asnumpy(), output.var(axis=(0, 2, 3)), rtol=0.1)


# Evaluation

SAID = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6]], np.float32)
TRUTH = np.array([0, 1, 1, 0])


def test_accuracy_confusion_and_mistakes_by_hand():
    assert evaluation.accuracy(SAID, TRUTH) == 0.5
    assert evaluation.confusion_matrix(SAID, TRUTH).tolist() == [[1, 1], [1, 1]]
    # Row: what the picture shows. Three pictures of class 0, two of them taken for class 1.
    assert evaluation.confusion_matrix(SAID[[0, 2, 3]], np.zeros(3, int)).tolist() == [[1, 2], [0, 0]]
    assert evaluation.worst_mistakes(SAID, TRUTH, 9).tolist() == [1, 3]
    assert evaluation.log_loss(SAID, TRUTH) == pytest.approx(-np.log([0.9, 0.3, 0.8, 0.4]).mean(), rel=1e-5)


def test_calibration_by_hand():
    bins, error = evaluation.calibration(SAID, TRUTH, bins=2)
    assert [(one.low, one.high, one.count) for one in bins] == [(0.5, 1.0, 4)]
    assert error == pytest.approx(abs((0.9 + 0.7 + 0.8 + 0.6) / 4 - 0.5), abs=1e-6)


def test_calibration_of_an_honest_network_is_near_zero():
    rng = RNG(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    said = np.stack([confidence, 1 - confidence], axis=1)
    truth = (rng.random(20_000) > confidence).astype(int)
    assert evaluation.calibration(said, truth)[1] < 0.02


def test_wilson_interval_as_published():
    # Newcombe (1998), table I: 81 of 263.
    low, high = evaluation.wilson_interval(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_files_are_predicted_by_the_functions_own_preparation(pictures):
    model = models.open_model(models.PRACTICE)
    files, _ = loop.list_split(pictures / "val", imagenette.WNIDS)
    said = evaluation.predict_files(
        model, files[:3], [lambda batch: np.asarray(batch)[0].mean(axis=(1, 2)), lambda _: [1, 2, 3]]
    )
    assert said.shape == (2, 3, 3) and (said[1] == [1, 2, 3]).all() and (said[0] > 50).all()


# Export


@pytest.fixture(scope="module")
def trained():
    mx.random.seed(4)
    symbol = resnet.resnet18(10)
    return symbol, *loop.make_module(symbol, 1, 32).get_params()


def test_exported_model_comes_back_rounded_to_float16(trained, tmp_path):
    symbol, arguments, auxiliary = trained
    export.export_model(tmp_path / "mine", symbol, arguments, auxiliary, imagenette.SYNSET)
    assert 22_000_000 < (tmp_path / "mine" / models.PARAMS).stat().st_size < 23_000_000
    files = models.fetch(tmp_path / "mine", tmp_path / "store", progress=False)
    assert files.labels == list(imagenette.SYNSET)
    got = mx.nd.load(str(files.params))["arg:fc1_weight"].asnumpy()
    expected = arguments["fc1_weight"].asnumpy()
    np.testing.assert_array_equal(got, expected.astype(np.float16).astype(np.float32))
    assert 0 < np.abs(got - expected).max() < 1e-3


def test_the_same_weights_give_the_same_bytes(trained, tmp_path):
    symbol, arguments, auxiliary = trained
    for name in ("one", "two"):
        export.export_model(tmp_path / name, symbol, dict(reversed(arguments.items())), auxiliary, imagenette.SYNSET)
    assert (tmp_path / "one" / models.MANIFEST).read_text() == (tmp_path / "two" / models.MANIFEST).read_text()


@pytest.mark.parametrize("value", [70_000.0, float("nan"), float("-inf")])
def test_what_float16_cannot_hold_is_refused(trained, tmp_path, value):
    symbol, arguments, auxiliary = trained
    arguments = {**arguments, "fc1_bias": mx.nd.full(10, value)}
    with pytest.raises(ValueError, match="fc1_bias holds"):
        export.export_model(tmp_path / "mine", symbol, arguments, auxiliary, imagenette.SYNSET)
    assert not (tmp_path / "mine").exists()


def test_a_synset_of_another_length_is_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="10 classes and the synset 9 lines"):
        export.export_model(tmp_path, *trained, imagenette.SYNSET[1:])


def test_parameters_of_another_network_are_refused(trained, tmp_path):
    symbol, arguments, _ = trained
    with pytest.raises(ValueError, match="not those of the symbol"):
        export.export_model(tmp_path, symbol, arguments, {}, imagenette.SYNSET)
