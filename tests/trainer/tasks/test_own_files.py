"""Tasks from files of the user's, made here byte by byte; and what is said of files that cannot be used."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from probes.errors import BabysitError
from trainer.errors import TaskError
from trainer.recipe import load_recipe
from trainer.tasks import TASKS
from trainer.tasks.cifar import CLASSES
from trainer.tasks.image_folder import read_picture

GENERATOR = np.random.default_rng(0)


def make(name: str, **options):
    return TASKS[name].make(
        **TASKS[name].options({k: str(v) if isinstance(v, Path) else v for k, v in options.items()})
    )


# --- picture folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten pictures each of red, green and blue, each its own shade, in formats and sizes of all kinds."""
    folder = tmp_path / "pictures"
    for channel, name in enumerate(("blue", "green", "red")):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.zeros((20 + number, 30, 3), np.uint8)
            pixels[..., 2 - channel] = 100 + number
            suffix = (".png", ".bmp", ".PNG")[number % 3]
            Image.fromarray(pixels).save(folder / name / f"{number}{suffix}")
    (folder / "red" / "notes.txt").write_text("not a picture")
    (folder / ".hidden").mkdir()
    return folder


def test_every_picture_is_read_with_the_name_of_its_folder(pictures):
    task = make("image-folder", path=pictures, size=8, preprocessing=())
    assert task.classes == ("blue", "green", "red") and task.spec.shape == (3, 8, 8)
    assert (len(task.train), len(task.validation)) == (24, 6)
    shades = []
    for split in (task.train, task.validation):
        for image, label in zip(split.inputs, split.targets, strict=True):
            channel = 2 - int(label)
            assert image[channel].unique().numel() == 1 and not image.sum(0).sub(image[channel]).any()
            shades.append((int(label), int(image[channel, 0, 0])))
    assert sorted(shades) == [(label, 100 + n) for label in range(3) for n in range(10)]


def test_pictures_keep_their_proportions(tmp_path):
    """The middle square is cut out: of a wide picture the sides go."""
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    path = tmp_path / "wide.png"
    Image.fromarray(wide).save(path)
    assert (read_picture(path, 10, "grey") == 200).all()
    assert read_picture(path, 0, "rgb").shape == (10, 30, 3)


def test_grey_sixteen_bit_and_turned_pictures(tmp_path):
    Image.fromarray(np.full((4, 4), 200 << 8, np.uint16)).save(tmp_path / "deep.png")
    assert (read_picture(tmp_path / "deep.png", 0, "grey") == 200).all()
    turned = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    exif = turned.getexif()
    exif[274] = 6  # held upright, stored lying: turn clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        read_picture(tmp_path / "turned.png", 0, "grey"), np.rot90(np.arange(12).reshape(3, 4), -1)
    )


def test_a_validation_folder_of_its_own(pictures, tmp_path):
    for name in ("red", "blue"):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), name).save(tmp_path / "val" / name / "a.jpg")
    task = make("image-folder", path=pictures, validation_path=tmp_path / "val", size=4, preprocessing=())
    assert len(task.train) == 30 and task.validation.targets.tolist() == [0, 2]
    (tmp_path / "val" / "pink").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "val" / "pink" / "a.png")
    with pytest.raises(TaskError, match=r"val: classes pink are not among those of .*: blue, green, red"):
        make("image-folder", path=pictures, validation_path=tmp_path / "val")


def test_a_few_of_every_class(pictures):
    task = make("image-folder", path=pictures, per_class=5, size=4)
    assert torch.cat([task.train.targets, task.validation.targets]).bincount().tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "red" / "0.png").write_bytes(b"not a picture"), r"red/0\.png: cannot be read as a picture"),
        (
            lambda f: (f / "red" / "0.png").write_bytes((f / "red" / "0.png").read_bytes()[:60]),
            r"red/0\.png: cannot be read as a picture",
        ),
    ],
)
def test_a_damaged_picture_is_named(pictures, damage, words):
    damage(pictures)
    with pytest.raises(TaskError, match=words):
        make("image-folder", path=pictures)


def test_folders_that_are_none(pictures, tmp_path):
    with pytest.raises(TaskError, match=r"task.path = '.*nowhere' does not exist; relative paths start at"):
        make("image-folder", path=tmp_path / "nowhere")
    with pytest.raises(TaskError, match=r"is a file, allowed: a directory; unpack it first"):
        (tmp_path / "data.tar.gz").write_bytes(b"")
        make("image-folder", path=tmp_path / "data.tar.gz")
    with pytest.raises(TaskError, match=r"sub-folders with pictures: nothing; allowed: at least two"):
        make("image-folder", path=pictures / "red")
    (tmp_path / "one" / "empty").mkdir(parents=True)
    (pictures / "red").rename(tmp_path / "one" / "red")
    with pytest.raises(TaskError, match="with pictures: red; without: empty"):
        make("image-folder", path=tmp_path / "one")
    with pytest.raises(TaskError, match=r"0\.png has 20x30 pixels|1\.bmp has 21x30 pixels, but .*0\.png 20x30"):
        make("image-folder", path=pictures, size=0)
    for file in list((pictures / "green").iterdir())[1:]:
        file.unlink()
    with pytest.raises(TaskError, match="class 1 has 1 example"):
        make("image-folder", path=pictures)


# --- MNIST -------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    code = {"u1": 0x08, "i2": 0x0B, "f4": 0x0D}[array.dtype.str[1:]]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Four files, two of them compressed, one named with a dot."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    arrays = {
        "train-images": GENERATOR.integers(0, 256, (40, 28, 28)).astype(np.uint8),
        "train-labels": (np.arange(40) % 10).astype(np.uint8),
        "t10k-images": GENERATOR.integers(0, 256, (20, 28, 28)).astype(np.uint8),
        "t10k-labels": (np.arange(20) % 10).astype(np.uint8),
    }
    (folder / "train-images-idx3-ubyte").write_bytes(idx(arrays["train-images"]))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(arrays["train-labels"])))
    (folder / "t10k-images.idx3-ubyte").write_bytes(idx(arrays["t10k-images"]))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(arrays["t10k-labels"])))
    return folder, arrays


def test_mnist_is_what_the_files_hold(mnist):
    folder, arrays = mnist
    task = make("mnist", path=folder, preprocessing=())
    assert task.outputs == 10 and task.spec.shape == (1, 28, 28)
    for split, prefix in ((task.train, "train"), (task.validation, "t10k")):
        np.testing.assert_array_equal(split.inputs[:, 0].numpy(), arrays[f"{prefix}-images"])
        np.testing.assert_array_equal(split.targets.numpy(), arrays[f"{prefix}-labels"])


def test_some_of_mnist_at_random(mnist):
    folder, arrays = mnist
    task = make("mnist", path=folder, train_examples=35, validation_examples=20, preprocessing=())
    assert len(task.train) == 35 and len(task.validation) == 20
    label_of = {i.tobytes(): label for i, label in zip(arrays["train-images"], arrays["train-labels"], strict=True)}
    found = [label_of[i.astype(np.uint8).tobytes()] for i in task.train.inputs[:, 0].numpy()]
    assert found == task.train.targets.tolist()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.unlink(), r"mnist: no file train-images-idx3-ubyte \(or .*\.gz\); found t10k-images"),
        (lambda f: f.write_bytes(b"PK\3\4 zip"), "not an IDX file: it begins with 50 4b 03 04"),
        (lambda f: f.write_bytes(b""), "begins with nothing"),
        (lambda f: f.write_bytes(f.read_bytes()[:-1]), "31360 bytes of 40x28x28 numbers expected, found 31359 bytes"),
        (lambda f: f.write_bytes(f.read_bytes() + b"x"), "31360 bytes .* expected, found more"),
        (lambda f: f.write_bytes(idx(np.zeros(40, np.uint8))), "an array of 1 dimensions, allowed: 3"),
        (lambda f: f.write_bytes(idx(np.zeros((39, 28, 28), np.uint8))), "holds 39 images, but .* 40 labels"),
        (lambda f: f.write_bytes(b"\0\0\x08\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "expected, found 0 b"),
    ],
)
def test_a_damaged_mnist_file_is_named(mnist, damage, words):
    folder, _ = mnist
    damage(folder / "train-images-idx3-ubyte")
    with pytest.raises(TaskError, match=words) as error:
        make("mnist", path=folder)
    assert "train-images-idx3-ubyte" in str(error.value)


def test_a_damaged_compressed_file_is_named(mnist):
    file = mnist[0] / "train-labels-idx1-ubyte.gz"
    for content in (file.read_bytes()[:20], b"not gzip"):
        file.write_bytes(content)
        with pytest.raises(TaskError, match=r"train-labels-idx1-ubyte\.gz: cannot be read: .*fetch it again"):
            make("mnist", path=mnist[0])


# --- CIFAR-10 ----------------------------------------------------------------------------------------------------


def cifar_batch(seed: int, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 3072)).astype(np.uint8), np.arange(count) % 10


def python_2_pickle(pixels: np.ndarray, labels: list[int]) -> bytes:
    """Opcode by opcode what the pickle module of Python 2 wrote, as the published files hold it."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|") + b"NNN"
    kind += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    raw = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    array += b"(K\x01K" + bytes([len(pixels)]) + b"M\x00\x0c\x86" + kind + b"\x89" + raw + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + listed + b"u."


def write_cifar(folder: Path, version: str) -> None:
    folder.mkdir(parents=True)
    for seed, name in enumerate(("data_batch_1", "data_batch_2", "test_batch")):
        pixels, labels = cifar_batch(seed)
        if version == "binary":
            (folder / f"{name}.bin").write_bytes(np.column_stack([labels.astype(np.uint8), pixels]).tobytes())
        elif version == "python 2":
            (folder / name).write_bytes(python_2_pickle(pixels, labels.tolist()))
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("version", ["binary", "python 2", "python 3"])
@pytest.mark.parametrize("inner", ["", "cifar-10-batches-py"])
def test_cifar_is_what_the_files_hold(version, inner, tmp_path):
    write_cifar(tmp_path / "cifar" / inner, version)
    task = make("cifar-10", path=tmp_path / "cifar", preprocessing=())
    assert task.classes == CLASSES and task.spec.shape == (3, 32, 32)
    first, second, test = (cifar_batch(seed) for seed in range(3))
    np.testing.assert_array_equal(task.train.inputs.flatten(1).numpy(), np.concatenate([first[0], second[0]]))
    np.testing.assert_array_equal(task.train.targets.numpy(), np.concatenate([first[1], second[1]]))
    np.testing.assert_array_equal(task.validation.inputs.flatten(1).numpy(), test[0])


def test_damaged_binary_batches_are_named(tmp_path):
    write_cifar(tmp_path / "cifar", "binary")
    file = tmp_path / "cifar" / "data_batch_2.bin"
    content = file.read_bytes()
    for damaged, words in (
        (content[:-1], "92189 bytes, allowed: a multiple of 3073"),
        (b"\x63" + content[1:], "labels from 0 to 99, allowed: labels from 0 to 9"),
        (b"", "found no image"),
    ):
        file.write_bytes(damaged)
        with pytest.raises(TaskError, match=rf"data_batch_2\.bin: .*{words}"):
            make("cifar-10", path=tmp_path / "cifar")
    (tmp_path / "cifar" / "test_batch.bin").unlink()
    with pytest.raises(TaskError, match=r"no CIFAR-10 here.*found data_batch_1\.bin, data_batch_2\.bin"):
        make("cifar-10", path=tmp_path / "cifar")


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_pickle_runs_anything(tmp_path):
    write_cifar(tmp_path / "cifar", "python 3")
    file, trace = tmp_path / "cifar" / "data_batch_1", tmp_path / "ran"
    for content, words in (
        (pickle.dumps(Evil(trace), protocol=2), r"it names __builtin__\.open|it names (_)?io\.open"),
        (pickle.dumps({"data": np.array([Evil(trace)], object)}, protocol=2), "it names"),
        (b"\x80\x02cos\nsystem\nU\x05touch\x85R.", r"it names os\.system, and only plain data"),
        (b"\x80\x02cnumpy\nload\nU\x05touch\x85R.", r"it names numpy\.load"),
        (pickle.dumps({"data": np.zeros((2, 3072)), "labels": [0, 1]}, protocol=2), "something else than bytes"),
        (pickle.dumps([1, 2], protocol=2), "a list, not a dict"),
        (pickle.dumps({"data": 1, "label": 2}), "'data', bytes .* found data, label"),
        (file.read_bytes()[:500], "cannot be read as a pickle"),
        (b"", "cannot be read as a pickle"),
        (b"plain text", "cannot be read as a pickle"),
    ):
        file.write_bytes(content)
        with pytest.raises(TaskError, match=rf"data_batch_1: .*{words}"):
            make("cifar-10", path=tmp_path / "cifar")
    assert not trace.exists()


# --- NumPy -------------------------------------------------------------------------------------------------------


def save(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


def test_npz_with_validation_keys(tmp_path):
    images, labels = GENERATOR.integers(0, 256, (12, 5, 5)).astype(np.uint8), np.arange(12) % 3
    path = save(tmp_path / "a.npz", x_train=images, y_train=labels, x_val=images[:6], y_val=labels[:6])
    task = make("npz", path=path, validation_inputs="x_val", validation_targets="y_val", preprocessing=())
    assert task.problem == "multi-class" and task.classes == ("0", "1", "2")
    np.testing.assert_array_equal(task.train.inputs[:, 0].numpy(), images)
    np.testing.assert_array_equal(task.validation.targets.numpy(), labels[:6])


def test_npz_without_validation_keys_is_split(tmp_path):
    path = save(tmp_path / "a.npz", inputs=np.arange(100.0)[:, None], targets=np.repeat(["cat", "dog"], 50))
    task = make("npz", path=path, inputs="inputs", targets="targets", preprocessing=(), validation_fraction=0.3)
    assert task.classes == ("cat", "dog") and len(task.validation) == 30
    assert task.validation.targets.bincount().tolist() == [15, 15]
    for split in (task.train, task.validation):
        assert split.targets.equal((split.inputs[:, 0] >= 50).long())
    together = torch.cat([task.train.inputs, task.validation.inputs])[:, 0]
    assert sorted(together.tolist()) == list(range(100))


def test_npy_files(tmp_path):
    inputs, targets = GENERATOR.normal(size=(30, 4)), GENERATOR.normal(size=30)
    np.save(tmp_path / "x.npy", inputs)
    np.save(tmp_path / "y.npy", targets)
    task = make("npy", inputs=tmp_path / "x.npy", targets=tmp_path / "y.npy")
    assert task.problem == "regression" and task.outputs == 1
    assert task.train.targets.mean().item() == pytest.approx(0, abs=1e-5)
    assert task.train.inputs.std(0, correction=0).tolist() == pytest.approx([1] * 4, abs=1e-5)


def test_what_a_numpy_file_lacks_is_said(tmp_path):
    x, y = np.zeros((4, 2)), np.arange(4) % 2
    path = save(tmp_path / "a.npz", x_train=x, y_train=y)
    with pytest.raises(TaskError, match=r"a\.npz: no array 'x_trian' \(task.inputs\); did you mean 'x_train'"):
        make("npz", path=path, inputs="x_trian")
    with pytest.raises(TaskError, match=r"task.validation_inputs is set, but task.validation_targets is not"):
        make("npz", path=path, validation_inputs="x_train")
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(TaskError, match=r"x\.npy: holds one array, .*task.name = npy"):
        make("npz", path=tmp_path / "x.npy")
    with pytest.raises(TaskError, match=r"task.targets = '.*a\.npz': an .npz archive, .*task.name = npz"):
        make("npy", inputs=tmp_path / "x.npy", targets=path)
    with pytest.raises(TaskError, match="is a directory, allowed: a file"):
        make("npz", path=tmp_path)


def test_damaged_numpy_files_are_named_and_never_unpickled(tmp_path):
    trace = tmp_path / "ran"
    np.save(tmp_path / "objects.npy", np.array([Evil(trace)], object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x_train=np.array([{}], object), y_train=np.arange(1))
    whole = save(tmp_path / "a.npz", x_train=np.zeros((4, 2)), y_train=np.arange(4)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "pickled.npz").write_bytes(pickle.dumps(Evil(trace)))
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("objects.npz", "cut.npz", "text.npz", "pickled.npz", "empty.npz"):
        with pytest.raises(TaskError, match=rf"{name}: .*cannot be read"):
            make("npz", path=tmp_path / name)
    with pytest.raises(TaskError, match=r"objects\.npy: cannot be read .*it holds Python objects"):
        make("npy", inputs=tmp_path / "objects.npy", targets=tmp_path / "objects.npy")
    assert not trace.exists()


# --- damage of any kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mnist", "cifar binary", "cifar python", "npz", "npy", "picture"])
def test_random_damage_gives_an_error_that_names_the_file_or_data_of_the_right_shape(kind, tmp_path):
    """Bits flipped and ends cut off: never another exception, never data of another shape."""
    name, options, file = _valid(kind, tmp_path)
    shape = make(name, **options).spec.shape
    whole = file.read_bytes()
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole[: generator.integers(0, len(whole))] if generator.random() < 0.3 else whole)
        for place in generator.integers(0, min(len(damaged), 400), generator.integers(1, 4)) if damaged else ():
            damaged[place] ^= 1 << int(generator.integers(0, 8))
        file.write_bytes(damaged)
        try:
            task = make(name, **options)
        except TaskError as error:
            refused += 1
            assert str(file) in str(error) or str(file.parent) in str(error)
        else:
            assert len(task.spec.shape) == len(shape) and task.train.inputs.isfinite().all()
    assert refused > 10


def _valid(kind: str, folder: Path) -> tuple[str, dict, Path]:
    """(task, its options, the file to damage)"""
    images, labels = GENERATOR.integers(0, 256, (20, 28, 28)).astype(np.uint8), (np.arange(20) % 10).astype(np.uint8)
    if kind == "mnist":
        for prefix in ("train", "t10k"):
            (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
            (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels))
        return "mnist", {"path": folder}, folder / "train-images-idx3-ubyte"
    if kind.startswith("cifar"):
        write_cifar(folder / "cifar", "binary" if kind == "cifar binary" else "python 2")
        name = "data_batch_1.bin" if kind == "cifar binary" else "data_batch_1"
        return "cifar-10", {"path": folder / "cifar"}, folder / "cifar" / name
    if kind == "npz":
        path = save(folder / "a.npz", x_train=images.astype(np.float32), y_train=labels)
        return "npz", {"path": path}, path
    if kind == "npy":
        np.save(folder / "x.npy", images.astype(np.float32))
        np.save(folder / "y.npy", labels)
        return "npy", {"inputs": folder / "x.npy", "targets": folder / "y.npy"}, folder / "x.npy"
    for name in ("a", "b"):
        (folder / "p" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(images[number]).save(folder / "p" / name / f"{number}.png")
    return "image-folder", {"path": folder / "p", "size": 8}, folder / "p" / "a" / "0.png"


# --- recipes -----------------------------------------------------------------------------------------------------


def test_a_recipe_without_its_path_says_so():
    with pytest.raises(BabysitError, match=r"task.path: missing, and 'mnist' has no default for it"):
        load_recipe("digits-cnn", ["task.name=mnist"])


def test_a_recipe_trains_on_pictures_from_a_folder(pictures, tmp_path):
    """Colours are told apart, through the command's own path from a recipe to a result."""
    from trainer.loop import train

    overrides = ["task.name=image-folder", f"task.path={pictures}", "task.size=8", "training.batch_size=8"]
    recipe = load_recipe("digits-cnn", [*overrides, "training.epochs=6", "training.threads=1"])
    assert train(recipe, tmp_path / "run", watched=False).score == 1.0
