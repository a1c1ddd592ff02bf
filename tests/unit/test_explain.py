"""Explaining an answer: where the network's parameters sit, what an occlusion finds, and the plots of both."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import mxnet as mx
import numpy as np
import pytest

from tests.cases import networks
from workshop import diagrams, models, plots
from workshop.deployment import figures as deployment_figures
from workshop.inspection import explain, figures
from workshop.models.convert import given, graph
from workshop.models.convert.importer import Importer
from workshop.training import resnet

# Of MXNet's ResNet-18: each stage's last output, its layers with weights, and the output that shows it best.
STAGES = {
    "stage 1": ((64, 112, 112), 1, "relu0_output"),
    "stage 2": ((64, 56, 56), 5, "stage2_unit1_relu1_output"),
    "stage 3": ((128, 28, 28), 5, "stage3_unit1_relu1_output"),
    "stage 4": ((256, 14, 14), 5, "stage4_unit1_relu1_output"),
    "stage 5": ((512, 7, 7), 5, "relu1_output"),
    "head": ((10,), 1, "softmax_output"),
}


@pytest.fixture(scope="module")
def network():
    """The real architecture with zeros for parameters."""
    symbol = resnet.resnet18(10)
    arguments, _, auxiliary = symbol.infer_shape(data=(1, 3, 224, 224))
    names = symbol.list_arguments() + symbol.list_auxiliary_states()
    shapes = dict(zip(names, arguments + auxiliary, strict=True))
    return symbol, {name: mx.nd.zeros(shape) for name, shape in shapes.items() if name not in ("data", "softmax_label")}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_the_stages_of_resnet_18(network):
    symbol, parameters = network
    stages = explain.stages(symbol, parameters)
    assert {stage.name: (stage.shape, stage.layers, stage.seen) for stage in stages} == STAGES
    assert sum(stage.parameters for stage in stages) == sum(value.size for value in parameters.values()) == 11_192_022


def test_the_weights_of_resnet_18(network):
    symbol, _ = network
    kernels = explain.kernels(symbol)
    assert next(iter(kernels.items())) == ("conv0_weight", (64, 3, 7, 7))
    assert len(kernels) == 21
    assert explain.last_features(symbol) == "flatten0_output"
    assert explain.last_places(symbol) == "relu1_output"


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    """A MobileNetV2 of random weights, converted from ONNX."""
    folder = tmp_path_factory.mktemp("mobilenet")
    path = networks.write(networks.mobilenet_v2(classes=7), folder / "mobilenet.onnx")
    analysed = graph.analyse(graph.fix_shape(graph.load(path), 224), np.zeros((1, 3, 224, 224), np.float32))
    made = Importer(analysed, given(mean=127, deviation=128, pixels=255, size=224, fit="squash"))
    symbol = made.network.save(made.logits, folder)
    values = mx.nd.load(str(folder / models.PARAMS))
    return symbol, {name.partition(":")[2]: value for name, value in values.items()}


@pytest.mark.slow
def test_the_stages_of_a_converted_network(mobilenet):
    symbol, parameters = mobilenet
    stages = explain.stages(symbol, parameters)
    assert [(stage.name, stage.shape, stage.layers) for stage in stages] == [
        ("stage 1", (96, 112, 112), 4),
        ("stage 2", (144, 56, 56), 6),
        ("stage 3", (192, 28, 28), 9),
        ("stage 4", (576, 14, 14), 21),
        ("stage 5", (1280, 7, 7), 12),
        ("head", (7,), 1),
    ]
    assert sum(stage.parameters for stage in stages) == sum(value.size for value in parameters.values())
    inner = [symbol.get_internals()[stage.seen] for stage in stages[:-1]]
    assert [one.infer_shape(data=(1, 3, 224, 224))[1][0][1:] for one in inner] == [stage.shape for stage in stages[:-1]]


def test_a_converted_network_explains_an_answer(mobilenet):
    symbol, parameters = mobilenet
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 224, 224)).astype(np.float32)
    found = explain.grad_cam(symbol, parameters, picture, [0])
    assert found.shape == (1, 7, 7) and np.isfinite(found).all()
    features = symbol.get_internals()[explain.last_features(symbol)]
    assert features.infer_shape(data=(1, 3, 224, 224))[1][0][:2] == (1, 1280)


def squeezed() -> mx.sym.Symbol:
    """Two stages of 16 × 16 and 8 × 8; the first squeezes all places into one and comes back, as EfficientNet does."""
    x = mx.sym.Convolution(mx.sym.Variable("data"), name="conv", num_filter=4, kernel=(3, 3), pad=(1, 1))
    one = mx.sym.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg")
    one = mx.sym.Convolution(one, name="squeeze", num_filter=4, kernel=(1, 1))
    x = mx.sym.broadcast_mul(x, mx.sym.Activation(one, act_type="sigmoid"), name="scaled")
    x = mx.sym.Convolution(x, name="half", num_filter=6, kernel=(3, 3), pad=(1, 1), stride=(2, 2))
    x = mx.sym.Activation(x, act_type="relu", name="rectified")
    x = mx.sym.Flatten(mx.sym.Pooling(x, kernel=(1, 1), global_pool=True, pool_type="avg"))
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(x, name="fc", num_hidden=3), name="softmax")


def test_a_branch_without_places_belongs_to_the_stage_that_it_returns_to():
    stages = explain.stages(squeezed(), {"squeeze_weight": mx.nd.zeros((4, 4, 1, 1))}, size=16)
    assert [(stage.shape, stage.layers, stage.parameters) for stage in stages] == [
        ((4, 16, 16), 2, 16), ((6, 8, 8), 1, 0), ((3,), 1, 0),
    ]  # fmt: skip
    assert [stage.seen for stage in stages] == ["scaled_output", "rectified_output", "softmax_output"]


def test_a_prepared_batch_becomes_the_picture_again():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    batch = picture.astype(np.float32).transpose(2, 0, 1)[np.newaxis]
    assert (explain.as_picture(batch) == picture).all()


def test_covering_paints_the_mean_colour_over_the_box_alone():
    batch = np.random.default_rng(0).uniform(0, 255, (1, 3, 8, 10)).astype(np.float32)
    copy = explain.cover(batch, (2, 1, 6, 4))
    assert np.allclose(copy[0, :, 1:4, 2:6], batch.mean(axis=(2, 3))[0][:, None, None])
    copy[:, :, 1:4, 2:6] = batch[:, :, 1:4, 2:6]
    assert (copy == batch).all()


@pytest.mark.parametrize(("patch", "stride"), [(96, 48), (64, 32), (32, 32), (64, 16), (112, 32), (32, 16)])
def test_every_pixel_is_covered_equally_often(patch, stride):
    times = np.zeros((224, 224), int)
    for left, top, right, bottom in explain._squares(224, 224, patch, stride):
        assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
        times[top:bottom, left:right] += 1
    inner = times[patch:-patch, patch:-patch] if patch < 112 else times[112:113, 112:113]
    assert times.min() >= 1
    assert inner.max() - inner.min() <= 2 * -(-patch // stride)


@pytest.mark.parametrize(("probability", "odds"), [(0.5, 0), (0.9, np.log(9)), (0.1, -np.log(9))])
def test_log_odds(probability, odds):
    assert explain.log_odds(probability) == pytest.approx(odds)


def test_log_odds_stay_finite_where_the_network_is_sure():
    assert np.isfinite(explain.log_odds(np.array([0.0, 1.0]))).all()


def bright_spot(pictures: np.ndarray) -> np.ndarray:
    """Two classes; the first one's probability grows with the light in one corner."""
    light = pictures[:, :, 32:96, 128:192].mean(axis=(1, 2, 3)) / 255
    return np.stack([0.05 + 0.9 * light, 0.95 - 0.9 * light], axis=1).astype(np.float32)


@pytest.fixture
def spot():
    batch = np.full((1, 3, 224, 224), 20, np.float32)
    batch[:, :, 32:96, 128:192] = 255
    return batch


@pytest.mark.parametrize("batch_size", [1, 7, 16, 100])
def test_an_occlusion_finds_the_part_that_decides(spot, batch_size):
    found = explain.occlusion(bright_spot, spot, 0, patch=64, stride=32, batch_size=batch_size)
    assert found.box == (128, 32, 192, 96)
    assert found.whole == pytest.approx(0.95) and found.lowest < 0.3
    assert found.heat.shape == (224, 224)
    row, column = np.unravel_index(found.heat.argmax(), found.heat.shape)
    assert 32 <= row < 96 and 128 <= column < 192
    assert found.heat[200, 20] == pytest.approx(0, abs=1e-5)
    assert 0 < found.half_area < 0.15


@pytest.mark.parametrize(("stride", "batch_size", "sizes"), [(48, 20, [19, 19]), (64, 20, [17]), (48, 16, [13] * 3)])
def test_all_batches_of_an_occlusion_are_of_one_size(spot, stride, batch_size, sizes):
    asked = []

    def predict(pictures):
        asked.append(len(pictures))
        return bright_spot(pictures)

    explain.occlusion(predict, spot, 0, stride=stride, batch_size=batch_size)
    assert asked == sizes


def test_covering_can_help_another_class(spot):
    assert explain.occlusion(bright_spot, spot, 1).heat.min() < -1


def test_an_occlusion_leaves_the_picture_as_it_is(spot):
    before = spot.copy()
    explain.occlusion(bright_spot, spot, 0)
    assert (spot == before).all()


def test_cloth_covers_the_box_with_its_own_part():
    batch, cloth = np.zeros((1, 3, 8, 10), np.float32), np.arange(240, dtype=np.float32).reshape(1, 3, 8, 10)
    copy = explain.cover(batch, (2, 1, 6, 4), cloth)
    assert (copy[:, :, 1:4, 2:6] == cloth[:, :, 1:4, 2:6]).all()
    assert copy.sum() == cloth[:, :, 1:4, 2:6].sum() and not batch.any()


def test_an_occlusion_by_the_picture_itself_costs_nothing(spot):
    assert np.abs(explain.occlusion(bright_spot, spot, 0, cloth=spot).heat).max() < 1e-6
    assert explain.occlusion(bright_spot, spot, 0).heat.max() > 1


@pytest.fixture(scope="module")
def small_network():
    """A residual network of the same parts as ResNet-18 over (1, 3, 12, 12): `early` (12 × 12), `late` (6 × 6)."""
    x = mx.sym.BatchNorm(mx.sym.Variable("data"), name="bn_data", fix_gamma=True)
    x = mx.sym.Convolution(x, name="conv0", num_filter=4, kernel=(3, 3), pad=(1, 1), no_bias=True)
    early = mx.sym.Activation(mx.sym.BatchNorm(x, name="bn0", fix_gamma=False), act_type="tanh", name="early")
    wide = mx.sym.Convolution(early, name="conv1", num_filter=4, kernel=(3, 3), pad=(1, 1), no_bias=True)
    x = mx.sym.BatchNorm(wide + early, name="bn1", fix_gamma=False)
    x = mx.sym.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="avg")
    late = mx.sym.Activation(x, act_type="relu", name="late")
    x = mx.sym.Flatten(mx.sym.Pooling(late, kernel=(1, 1), global_pool=True, pool_type="avg"))
    scores = mx.sym.FullyConnected(x, name="fc1", num_hidden=3)
    symbol, rng = mx.sym.SoftmaxOutput(scores, name="softmax"), np.random.default_rng(4)
    names = symbol.list_arguments() + symbol.list_auxiliary_states()
    arguments, _, auxiliary = symbol.infer_shape(data=(1, 3, 12, 12))
    shapes = dict(zip(names, arguments + auxiliary, strict=True))
    parameters = {
        name: mx.nd.array(rng.uniform(0.5, 2, shape) if name.endswith("_var") else rng.normal(0, 0.7, shape))
        for name, shape in shapes.items()
        if name not in ("data", "softmax_label")
    }
    return symbol, parameters, rng.uniform(0, 3, (1, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("label", range(3))
@pytest.mark.parametrize("output", ["early_output", "late_output"])
def test_grad_cam_weighs_maps_by_the_measured_slope_of_the_score(small_network, output, label):
    symbol, parameters, batch = small_network
    scores = symbol.get_children()[0]
    seen = explain._block(scores.get_internals()[output], "data", parameters)(mx.nd.array(batch)).asnumpy()
    head = explain._block(explain._from(scores, output), "seen", parameters)

    def score(maps):
        return float(head(mx.nd.array(maps))[0, label].asscalar())

    whole = explain._block(scores, "data", parameters)(mx.nd.array(batch))
    assert score(seen) == pytest.approx(float(whole[0, label].asscalar()), rel=1e-5)
    # Moving a whole map by h moves the score by h times the sum of the gradients, which is their mean times the places.
    places, step, weights = seen.shape[2] * seen.shape[3], 1e-2, []
    for channel in range(seen.shape[1]):
        up, down = seen.copy(), seen.copy()
        up[:, channel] += step
        down[:, channel] -= step
        weights.append((score(up) - score(down)) / (2 * step) / places)
    expected = np.maximum(np.tensordot(weights, seen[0], axes=1), 0)
    found = explain.grad_cam(symbol, parameters, batch, [label], output)[0]
    assert expected.max() > 0
    assert np.allclose(found, expected, rtol=2e-2, atol=2e-3 * expected.max())


def test_grad_cam_before_the_pooling_is_the_class_activation_map(small_network):
    """With nothing but an average and a weighted sum after them, maps count by the class's weights: Zhou et al.,
    https://arxiv.org/abs/1512.04150, equation 2.
    """
    symbol, parameters, batch = small_network
    seen = explain._block(symbol.get_children()[0].get_internals()["late_output"], "data", parameters)
    maps = seen(mx.nd.array(batch)).asnumpy()[0]
    for label in range(3):
        activation = np.maximum(np.tensordot(parameters["fc1_weight"].asnumpy()[label], maps, axes=1), 0)
        found = explain.grad_cam(symbol, parameters, batch, [label], "late_output")[0]
        assert np.allclose(found, activation / maps[0].size, rtol=1e-4, atol=1e-6)


def test_grad_cam_of_several_pictures_is_that_of_each(small_network):
    symbol, parameters, batch = small_network
    pictures = np.concatenate([batch, batch[:, :, ::-1]])
    both = explain.grad_cam(symbol, parameters, pictures, [1, 2], "early_output")
    for index, label in enumerate((1, 2)):
        alone = explain.grad_cam(symbol, parameters, pictures[index : index + 1], [label], "early_output")[0]
        assert np.allclose(both[index], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_grad_cam_of_resnet_18_is_of_its_last_stages_size(network):
    symbol, parameters = network
    assert explain.grad_cam(symbol, parameters, np.zeros((2, 3, 224, 224), np.float32), [0, 3]).shape == (2, 7, 7)


def test_the_box_around_the_hot_part_of_a_map():
    heat = np.zeros((7, 7))
    heat[1, 2], heat[3, 4], heat[6, 6] = 1, 0.3, 0.2
    assert explain.around(heat) == (32, 0, 128, 96)
    heat[3, 4] = 0.5
    assert explain.around(heat) == (32, 0, 192, 160)
    assert explain.around(np.zeros((7, 7))) == (0, 0, 224, 224)


def test_the_background_is_the_coldest_place_all_over():
    batch = np.arange(3 * 15 * 15, dtype=np.float32).reshape(1, 3, 15, 15)
    heat = np.ones((7, 7))
    heat[2, 3] = 0
    made = explain.background(batch, heat)
    assert made.shape == batch.shape
    assert (made[:, :, :2, :2] == batch[:, :, 4:6, 6:8]).all() and (made[:, :, 14, :2] == batch[:, :, 4, 6:8]).all()


def test_the_hottest_parts_of_a_map():
    heat = np.zeros((224, 224))
    heat[32:64, 96:160], heat[200:, :20] = 2, 1
    found = explain.hottest(heat, count=3)
    assert found.shape == (7, 7) and found.sum() == 3
    assert found[1, 3] and found[1, 4] and found[6, 0]


def test_the_hottest_parts_are_as_many_as_asked_for_where_all_are_alike():
    assert explain.hottest(np.zeros((7, 7))).sum() == 10


def test_heat_maps_share_one_scale_that_keeps_a_weak_map_weak():
    picture = np.full((64, 64, 3), 90, np.uint8)
    weak, strong = np.full((8, 8), 0.1), np.full((8, 8), explain.FULL)
    assert np.ptp(explain.overlay(picture, weak), axis=2).max() < 8
    assert np.ptp(explain.overlay(picture, strong), axis=2).max() > 40
    assert (explain.overlay(picture, 2 * strong) == explain.overlay(picture, strong)).all()
    assert np.ptp(explain.overlay(picture, weak, full=0.1), axis=2).max() > 40


def test_an_overlay_is_grey_where_nothing_is_hot():
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    heat = np.full((14, 14), -1.0)
    heat[3, 4] = 2 * explain.FULL
    laid = explain.overlay(picture, heat)
    assert laid.shape == picture.shape and laid.dtype == np.uint8
    cold, hot = laid[150:, 150:].astype(int), laid[48:64, 64:80].astype(int)
    assert np.ptp(cold, axis=2).max() <= 1
    assert np.ptp(hot, axis=2).mean() > 40


def test_an_overlay_of_no_heat_at_all_is_the_grey_picture():
    laid = explain.overlay(np.full((64, 64, 3), 90, np.uint8), np.zeros((8, 8)))
    assert (laid == 90).all()


def test_an_outline_leaves_the_picture_as_it_is():
    picture = np.zeros((64, 64, 3), np.uint8)
    framed = explain.outline(picture, (10, 20, 30, 40))
    assert not picture.any()
    assert (framed[20, 10:30] == 255).all() and not framed[25:35, 15:25].any()


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("n02102040 English springer, English springer spaniel", "English springer"),
        ("n03445777 golf ball", "golf ball"),
    ],
)
def test_a_class_is_called_by_its_first_name(label, name):
    assert plots.short(label) == name


@pytest.mark.parametrize(("count", "text"), [(7178, "7.2 k"), (526080, "526.1 k"), (8395776, "8.40 M")])
def test_counts_are_written_short(count, text):
    assert plots.millions(count) == text


def test_a_mosaic_sets_tiles_in_rows():
    sheet = figures.mosaic(np.arange(5, dtype=float)[:, None, None] * np.ones((5, 2, 2)), columns=3, value=-1)
    assert sheet.shape == (5, 8)
    assert sheet[0, 0] == 0 and sheet[0, 3] == 1 and sheet[3, 0] == 3
    assert sheet[2, 0] == -1 and sheet[4, 7] == -1


def test_a_difference_is_grey_where_pictures_agree():
    first, second = np.full((2, 2, 3), 100, np.uint8), np.full((2, 2, 3), 100, np.uint8)
    second[0, 0] = 90
    assert (figures.difference(first, second)[1] == 128).all()
    assert (figures.difference(first, second)[0, 0] == 168).all()


def texts(figure) -> list:
    """All texts of a figure that are drawn, with their boxes on the canvas."""
    figure.canvas.draw()
    unseen = set()  # Matplotlib keeps a label for ticks just beyond the axis, and does not draw it
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            unseen |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    found = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip() and text.get_visible()]
    return [(text.get_text(), text.get_window_extent()) for text in found if text not in unseen]


def draw_network(network):
    figures.network(explain.stages(*network), "Title")


def draw_nine_stages(_):
    shapes = [(1024, 112 >> (at // 2), 112 >> (at // 2)) for at in range(8)]
    stages = [explain.Stage(f"stage {at}", 526_080, 18, shape) for at, shape in enumerate(shapes, 1)]
    figures.network([*stages, explain.Stage("head", 1_281_000, 1, (1000,))], "Title")


def draw_predictions(_):
    entry = [{"class": f"n0 gas pump {i}", "probability": p} for i, p in enumerate((1.0, 0.3, 0.004, 0, 0))]
    plots.predictions([np.zeros((224, 224, 3), np.uint8)] * 4, [entry] * 4, "Title", names=["a", "b", "c", "d"])


def draw_bars(_):
    plots.bars(
        ["first", "second"], [1, 8.4], "Title", texts=["1.00 M  (10%)", "8.40 M  (75%)"], xlabel="x", highlight=1
    )


def draw_transfer(_):
    plots.transfer(
        [("request 1\nHTTP 200", 0, 22_000_000), ("request 2\nHTTP 206", 22_000_000, 44_000_000)], 44_000_000, "T"
    )


def draw_pictures(_):
    plots.picture_row(
        [np.zeros((224, 224, 3), np.uint8)] * 6, ["parachute: 0.97", "frame covered: 0.12"] * 3, "T", width=13
    )


def draw_two_explanations(_):
    view, mask = np.zeros((224, 224, 3), np.uint8), explain.hottest(np.arange(49.0).reshape(7, 7))
    figures.two_explanations([("cassette player", view, view, view)] * 2, [(mask, mask[::-1])] * 2, "Title")


def draw_neighbours(_):
    view = np.zeros((224, 224, 3), np.uint8)
    titles = ("nearest in the last layer (green: the same scene)", "nearest by their pixels")
    figures.neighbours([(view, [view] * 4, [view] * 4)] * 3, [([True] * 4, [False] * 4)] * 3, titles, "Title")


@pytest.mark.parametrize(
    "draw",
    [
        draw_network,
        draw_nine_stages,
        draw_predictions,
        draw_bars,
        draw_transfer,
        draw_pictures,
        draw_two_explanations,
        draw_neighbours,
        lambda _: diagrams.architecture(),
        lambda _: deployment_figures.draw_roles(),
        lambda _: deployment_figures.draw_decisions(
            "T", ["read the store's bucket policy"] * 2, {"AmazonS3ReadOnlyAccess": ["refused"] * 2}
        ),
        lambda _: deployment_figures.draw_order(),
        lambda _: diagrams.request_path(
            dict.fromkeys(("way", "fetch", "decode", "load", "predict", "rest"), 9999.0),
            dict.fromkeys(("way", "fetch", "decode", "predict", "rest"), 99.0),
        ),
    ],
)
@pytest.mark.slow
def test_no_text_lies_on_another_or_leaves_the_figure(draw, network):
    with plt.style.context("default"):
        plots.use_style()
        draw(network)
        figure = plt.gcf()
        boxes = texts(figure)
        for index, (text, box) in enumerate(boxes):
            assert figure.bbox.x0 - 2 <= box.x0 and box.x1 <= figure.bbox.x1 + 2, f"{text!r} leaves the figure"
            for other, second in boxes[index + 1 :]:
                apart = box.x1 <= second.x0 or second.x1 <= box.x0 or box.y1 <= second.y0 + 1 or second.y1 <= box.y0 + 1
                assert apart, f"{text!r} lies on {other!r}"


def test_feature_rows_and_same_numbers_draw():
    maps = np.random.default_rng(0).uniform(0, 1, (3, 7, 7))
    figures.feature_rows(np.zeros((8, 8, 3), np.uint8), [("stem\n7 × 7", maps), ("stage1\n7 × 7", maps)], "Title")
    figures.same_numbers(np.array([0, 0.5]), np.array([1e-6, 0.5]), "Title", xlabel="one", ylabel="other")
    plt.gcf().canvas.draw()
