"""Models: shapes, initialisation, and what makes each the network it is called."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probes.errors import UnknownNameError
from trainer.errors import RecipeError
from trainer.models import MODELS
from trainer.models.activations import ACTIVATIONS
from trainer.models.initialization import INITIALIZATIONS, initialize_layer
from trainer.tasks import Spec

IMAGES = Spec((3, 16, 16), 7, "multi-class")
TABLE = Spec((13,), 3, "multi-class")
SYMBOLS = Spec((20,), 5, "multi-class", vocabulary=5)
TEXT = Spec((20,), 5, "multi-class", vocabulary=5, per_position=True)
# Models that need a file (the weights of an earlier run) have tests of their own.
NAMES = [name for name, entry in MODELS.items() if len(entry.defaults) == len(entry.types)]
SEQUENCE_MODELS = ("rnn", "gru", "lstm", "transformer")
IMAGE_MODELS = ("cnn", "lenet-5", "resnet", "alexnet", "inception")


def inputs_for(spec: Spec, n: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    if spec.vocabulary is not None:
        return torch.randint(0, spec.vocabulary, (n, *spec.shape), generator=generator)
    return torch.randn(n, *spec.shape, generator=generator)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("autoencoder", "dcgan")])
def test_scores_have_one_column_a_class_on_images(name):
    assert MODELS[name].make(IMAGES)(inputs_for(IMAGES)).shape == (6, 7)


@pytest.mark.parametrize("name", ["softmax-regression", "mlp", *SEQUENCE_MODELS])
def test_tables_are_taken_by_dense_and_sequence_models(name):
    assert MODELS[name].make(TABLE)(inputs_for(TABLE)).shape == (6, 3)


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_symbols_give_one_answer_or_one_a_position(name):
    assert MODELS[name].make(SYMBOLS)(inputs_for(SYMBOLS)).shape == (6, 5)
    assert MODELS[name].make(TEXT)(inputs_for(TEXT)).shape == (6, 5, 20)


@pytest.mark.parametrize("name", SEQUENCE_MODELS)
def test_an_answer_per_position_does_not_see_the_future(name):
    torch.manual_seed(0)
    model = MODELS[name].make(TEXT).eval()
    inputs = inputs_for(TEXT)
    changed = inputs.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % 5
    before, after = model(inputs), model(changed)
    torch.testing.assert_close(before[:, :, :12], after[:, :, :12])
    assert not torch.allclose(before[:, :, 12:], after[:, :, 12:])


@pytest.mark.parametrize("name", ["softmax-regression", "mlp", "autoencoder"])
def test_symbols_are_refused_by_models_of_numbers(name):
    with pytest.raises(RecipeError, match="choose rnn, gru, lstm or transformer"):
        MODELS[name].make(SYMBOLS)


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_tables_are_refused_by_models_of_images(name):
    with pytest.raises(RecipeError, match=r"needs images .* \[13\]"):
        MODELS[name].make(TABLE)


def test_the_plain_twin_is_the_residual_net_without_its_shortcuts():
    torch.manual_seed(0)
    residual = MODELS["resnet"].make(IMAGES, norm="none")
    plain = MODELS["resnet"].make(IMAGES, norm="none", shortcuts=False)
    shared = {k: v for k, v in residual.state_dict().items() if "shortcut" not in k}
    assert shared.keys() == plain.state_dict().keys()
    plain.load_state_dict(shared)
    inputs = inputs_for(IMAGES)
    # By hand: the blocks with and without the addition.
    for model in (residual, plain):
        x = torch.relu(model.conv1(inputs))
        for block in (model.stage1_block1, model.stage2_block1, model.stage3_block1):
            y = block.conv2(torch.relu(block.conv1(x)))
            x = torch.relu(y + block.shortcut(x) if model is residual else y)
        torch.testing.assert_close(model(inputs), model.head(x.mean((2, 3))))


def test_the_convolutional_net_by_hand():
    model = MODELS["cnn"].make(IMAGES, channels=(4, 5), kernels=(5, 3), hidden=(6,), activation="tanh")
    x = inputs_for(IMAGES)
    for weight, bias, pad in ((model.conv1.weight, model.conv1.bias, 2), (model.conv2.weight, model.conv2.bias, 1)):
        x = nn.functional.max_pool2d(torch.tanh(nn.functional.conv2d(x, weight, bias, padding=pad)), 2)
    expected = model.head(torch.tanh(model.fc1(x.flatten(1))))
    torch.testing.assert_close(model(inputs_for(IMAGES)), expected)


def test_an_image_is_read_row_by_row():
    model = MODELS["rnn"].make(IMAGES)
    inputs = inputs_for(IMAGES)
    rows = model.reader(inputs)
    assert rows.shape == (6, 16, 48)
    assert rows[2, 5].equal(torch.cat([inputs[2, c, 5] for c in range(3)]))


def test_the_layers_of_a_transformer_start_different():
    model = MODELS["transformer"].make(SYMBOLS)
    first, second = model.encoder.layers
    assert not first.linear1.weight.equal(second.linear1.weight)
    assert not first.self_attn.in_proj_weight.equal(second.self_attn.in_proj_weight)


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("zeros", 0.0),
        ("constant", 0.0),
        ("small-normal", 0.01),
        ("large-normal", 1.0),
        ("dcgan-normal", 0.02),
        ("xavier-normal", math.sqrt(2 / (400 + 300))),
        ("xavier-uniform", math.sqrt(2 / (400 + 300))),
        ("he-normal", math.sqrt(2 / 400)),
        ("he-uniform", math.sqrt(2 / 400)),
        ("lecun-normal", math.sqrt(1 / 400)),
        ("default", math.sqrt(1 / (3 * 400))),
        ("orthogonal", math.sqrt(1 / 400)),
    ],
)
def test_initialisations_have_their_textbook_scale(name, std):
    torch.manual_seed(0)
    layer = nn.Linear(400, 300)
    initialize_layer(layer, name)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02, abs=1e-6)
    if name != "default":
        assert not layer.bias.any()


def test_every_initialisation_is_tested():
    tested = next(m for m in test_initialisations_have_their_textbook_scale.pytestmark if m.name == "parametrize")
    assert {name for name, _ in tested.args[1]} == set(INITIALIZATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_trains(name):
    model = MODELS["mlp"].make(TABLE, widths=(8,), activation=name, norm="layer", dropout=0.1)
    loss = model(inputs_for(TABLE)).square().sum()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="did you mean 'lstm'"):
        MODELS["lsmt"]
    with pytest.raises(UnknownNameError, match="did you mean 'he-normal'"):
        initialize_layer(nn.Linear(1, 1), "he-norml")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("cnn", {"channels": (4,), "kernels": (3, 3)}, "1 channels but 2 kernels"),
        ("cnn", {"channels": (4,) * 5, "kernels": (3,) * 5}, "at least 32 pixels"),
        ("transformer", {"width": 10, "heads": 4}, "multiple of model.heads"),
        ("alexnet", {"channels": (4, 4)}, "AlexNet has 5 convolutions, found 2 numbers"),
        ("inception", {"widths": (16,) * 6}, "at least 32 pixels a side, these have 16x16"),
        ("resnet", {"widths": ()}, "model.widths: found \\[\\], allowed: at least one"),
        ("autoencoder", {}, "puts out what it takes in"),
    ],
)
def test_options_that_do_not_go_together(name, options, words):
    with pytest.raises(RecipeError, match=words):
        MODELS[name].make(IMAGES, **options)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_ends_in_raw_scores(name):
    """Of a head whose weights are zero, the biases come out as they are: no softmax or sigmoid follows it."""
    spec = {"autoencoder": Spec((1, 8, 8), 64, "regression"), "dcgan": Spec((1, 8, 8), 1, "generation")}
    spec = spec.get(name, IMAGES)
    model = MODELS[name].make(spec).eval()
    network = model.discriminator if name == "dcgan" else model
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.linspace(-50, 70, spec.outputs))
        scores = network(inputs_for(spec))
    torch.testing.assert_close(scores, torch.linspace(-50, 70, spec.outputs).expand(6, -1))
