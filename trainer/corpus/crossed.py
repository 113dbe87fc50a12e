"""Faults in healthy variants: what a mistake looks like with another optimizer, rate, batch size, width or activation.

Chosen by a hash of the names among the healthy variants of the development part that the fault fits, before any of them
was trained; more of them for the faults that the diagnosis found least often.
"""

from __future__ import annotations

CROSSED: dict[str, str] = {
    "no-normalization": """
        digits-softmax.batch-8 digits-plain-deep.layer-norm digits-mlp.rmsprop digits-mlp.leaky digits-cnn.sgd
        wine-mlp.batch-2
    """,
    "inputs-in-255": """
        digits-mlp.batch-norm digits-mlp.high-rate digits-autoencoder.tanh spirals-svm.momentum
        digits-plain-deep.batch-16 digits-mlp.batch-4 digits-mlp.constant-rate spirals-mlp.deep spirals-mlp.long
        digits-plain-deep.adam diabetes-mlp.huber spirals-svm.margin-3
    """,
    "shuffled-labels": """
        patches-mlp.momentum wine-mlp.sgd digits-lstm.two-layers digits-mlp.adam spirals-mlp.momentum
        digits-autoencoder.deep diabetes-mlp.momentum digits-mlp.orthogonal digits-mlp.adagrad
        digits-imbalanced.milder digits-softmax.unit-scale digits-mlp.gelu
    """,
    "leaked-validation": """
        spirals-svm.margin-3 digits-mlp.low-rate digits-autoencoder.constant-rate digits-mlp.sigmoid
        wine-mlp.batch-norm digits-softmax.sgd-high
    """,
    "class-imbalance": """
        digits-mlp.constant-rate digits-cnn.fp16 digits-mlp.adadelta digits-mlp.batch-4 digits-softmax.batch-8
        digits-mlp.sparse-weights
    """,
    "tiny-data": """
        wine-selu.sgd digits-mlp.tanh digits-cnn.fp16 digits-mlp.batch-8 spirals-mlp.momentum wine-mlp.full-batch
        digits-mlp.leaky wine-selu.adam digits-autoencoder.deep spirals-svm.cosine digits-mlp.adamw-decay
        digits-lstm.clipped
    """,
    "nan-in-data": """
        digits-lstm.adamw digits-mlp.low-rate digits-softmax.unit-scale digits-autoencoder.wide-code
        digits-mlp.plateau digits-imbalanced.sgd
    """,
    "blank-inputs": """
        digits-mlp.hinge digits-softmax.unit-scale digits-mlp.adam digits-softmax.momentum digits-mlp.plateau
        digits-mlp.high-rate
    """,
    "no-shuffling": """
        digits-mlp.rare-classes spirals-svm.cosine digits-cnn.lenet patches-mlp.lenet digits-mlp.prelu
        digits-mlp.silu
    """,
    "mislabelled-part": """
        digits-mlp.deep-batch-norm digits-mlp.steps digits-lstm.clipped digits-cnn.batch-norm digits-mlp.long-warmup
        digits-mlp.rmsprop digits-softmax.adam digits-cnn.sgd digits-softmax.unit-scale spirals-mlp.momentum
        wine-selu.sgd wine-mlp.adam
    """,
    "validation-prepared-differently": """
        digits-mlp.mean-subtracted spirals-mlp.batch-8 digits-cnn.dropout wine-mlp.adam spirals-mlp.adamw
        digits-lstm.two-layers
    """,
    "slow-data": """
        wine-selu.adam digits-cnn.batch-128 digits-mlp.low-rate spirals-mlp.adamw digits-mlp.adamw-decay
        digits-mlp.dropout
    """,
    "fp16-underflow": """
        spirals-mlp.tanh digits-softmax.momentum diabetes-mlp.sgd patches-mlp.batch-norm digits-mlp.long-warmup
        patches-mlp.lenet-adam
    """,
    "exploding-rnn": """
        text-lstm.adamw text-lstm.constant-rate digits-lstm.clipped digits-lstm.adamw
    """,
    "learning-rate-too-high": """
        spirals-mlp.momentum digits-mlp.silu digits-softmax.cosine spirals-svm.cosine digits-softmax.batch-8
        digits-plain-deep.adam diabetes-mlp.batch-4 digits-cnn.fp16 digits-mlp.adadelta spirals-mlp.tanh
        digits-mlp.leaky digits-mlp.small-head-off
    """,
    "learning-rate-too-low": """
        digits-mlp.smoothed-labels digits-mlp.dropout spirals-mlp.wide digits-mlp.mean-subtracted
        patches-mlp.batch-norm patches-mlp.lenet-adam
    """,
    "zero-initialization": """
        digits-plain-deep.batch-16 digits-autoencoder.tanh wine-mlp.batch-norm digits-lstm.two-layers
        digits-mlp.adagrad wine-selu.adam
    """,
    "constant-initialization": """
        digits-mlp.sparse-weights digits-mlp.momentum digits-mlp.rmsprop digits-autoencoder.wide-code
        digits-mlp.exponential spirals-mlp.momentum
    """,
    "too-small-initialization": """
        digits-mlp.early-stopping spirals-mlp.long digits-plain-deep.layer-norm digits-mlp.sigmoid digits-cnn.lenet
        digits-mlp.orthogonal digits-mlp.rare-classes digits-lstm.two-layers digits-cnn.tanh wine-selu.sgd
        wine-mlp.batch-norm spirals-mlp.tanh
    """,
    "too-large-initialization": """
        digits-mlp.long-warmup digits-mlp.rare-classes digits-mlp.bf16 spirals-mlp.long digits-mlp.batch-4
        digits-imbalanced.milder digits-cnn.batch-128 spirals-mlp.adamw digits-autoencoder.wide-code
        diabetes-mlp.momentum text-lstm.batch-8 digits-cnn.long-warmup
    """,
    "deep-sigmoid": """
        digits-autoencoder.momentum diabetes-mlp.batch-4 spirals-svm.margin-3 digits-plain-deep.adam
        digits-autoencoder.constant-rate digits-mlp.sgd
    """,
    "deep-tanh": """
        digits-mlp.smoothed-labels spirals-svm.cosine digits-autoencoder.tanh digits-mlp.batch-norm wine-mlp.batch-2
        spirals-svm.momentum digits-mlp.high-rate diabetes-mlp.absolute-error digits-mlp.momentum
        digits-plain-deep.batch-16 wine-mlp.batch-norm digits-plain-deep.layer-norm
    """,
    "deep-plain": """
        digits-mlp.selu patches-mlp.batch-norm patches-mlp.momentum wine-mlp.batch-2 wine-mlp.adam
        digits-mlp.adadelta digits-mlp.deep digits-mlp.narrow diabetes-mlp.huber diabetes-mlp.absolute-error
        spirals-mlp.wide spirals-svm.cosine
    """,
    "too-small-model": """
        digits-lstm.rmsprop diabetes-mlp.huber digits-mlp.rare-classes digits-mlp.adagrad digits-plain-deep.sgd
        spirals-mlp.tanh digits-mlp.prelu digits-mlp.batch-4 spirals-svm.cosine digits-cnn.tanh spirals-svm.margin-3
        digits-cnn.fp16
    """,
    "too-much-weight-decay": """
        digits-softmax.batch-8 text-lstm.batch-8 diabetes-mlp.huber text-lstm.adamw digits-softmax.momentum
        patches-mlp.lenet-adam
    """,
    "too-much-dropout": """
        spirals-mlp.adamw digits-mlp.prelu wine-mlp.batch-norm wine-mlp.full-batch digits-mlp.wide-sparse
        text-lstm.adamw digits-lstm.batch-8 text-lstm.constant-rate digits-imbalanced.milder digits-cnn.dropout
        digits-mlp.rmsprop digits-cnn.adam
    """,
    "decays-too-fast": """
        digits-mlp.deep-batch-norm digits-lstm.batch-8 digits-mlp.narrow digits-cnn.long-warmup spirals-mlp.deep
        digits-softmax.unit-scale digits-plain-deep.layer-norm digits-autoencoder.constant-rate wine-mlp.sgd
        patches-mlp.lenet digits-mlp.layer-norm digits-softmax.momentum
    """,
    "rate-grows": """
        digits-lstm.two-layers spirals-mlp.wide digits-mlp.dropout digits-cnn.adam digits-softmax.cosine
        spirals-mlp.tanh
    """,
    "warmup-never-ends": """
        digits-cnn.tanh digits-cnn.adam digits-mlp.wide-sparse digits-softmax.momentum text-lstm.batch-8
        digits-mlp.long-warmup
    """,
    "clipped-too-hard": """
        digits-lstm.rmsprop digits-cnn.fp16 wine-mlp.batch-2 digits-softmax.batch-8 digits-imbalanced.sgd
        digits-mlp.prelu
    """,
    "batch-too-small": """
        digits-mlp.hinge digits-lstm.adamw digits-mlp.adamw-decay digits-mlp.clipped digits-mlp.batch-4
        digits-autoencoder.momentum
    """,
    "batch-too-large": """
        digits-softmax.sgd-high patches-mlp.lenet-adam spirals-mlp.adamw digits-mlp.rmsprop digits-cnn.dropout
        spirals-mlp.long digits-lstm.batch-8 digits-lstm.two-layers digits-mlp.adamw-decay digits-mlp.low-rate
        digits-mlp.smoothed-labels digits-autoencoder.tanh
    """,
    "training-too-short": """
        digits-mlp.bf16 digits-cnn.long-warmup digits-mlp.orthogonal digits-mlp.adagrad patches-mlp.wide
        wine-mlp.full-batch digits-mlp.dropout digits-cnn.tanh digits-lstm.batch-8 wine-mlp.adam spirals-mlp.deep
        diabetes-mlp.batch-4
    """,
    "gradients-never-cleared": """
        digits-mlp.adagrad digits-autoencoder.deep digits-mlp.rmsprop digits-lstm.adamw wine-selu.sgd
        digits-lstm.two-layers
    """,
    "optimizer-misses-a-layer": """
        digits-mlp.constant-rate digits-mlp.sigmoid patches-mlp.lenet-adam digits-mlp.adamw-decay
        digits-autoencoder.constant-rate digits-mlp.smoothed-labels
    """,
    "optimizer-misses-the-head": """
        digits-cnn.long-warmup patches-mlp.wide patches-mlp.batch-norm digits-mlp.exponential digits-cnn.adam
        spirals-mlp.tanh
    """,
    "maximized-loss": """
        spirals-svm.momentum digits-mlp.batch-4 digits-mlp.plateau digits-cnn.fp16 digits-mlp.adamw-decay
        digits-mlp.small-head-off
    """,
    "frozen-layers": """
        digits-cnn.sgd digits-cnn.batch-128 digits-mlp.bf16 spirals-svm.momentum digits-mlp.small-head-off
        digits-mlp.deep-batch-norm digits-mlp.adadelta wine-mlp.batch-norm digits-lstm.adamw digits-lstm.rmsprop
        patches-mlp.lenet text-lstm.constant-rate
    """,
    "detached-layer": """
        digits-mlp.mean-subtracted digits-mlp.adagrad digits-cnn.fp16
        digits-mlp.adadelta digits-plain-deep.sgd
    """,
    "double-softmax": """
        digits-mlp.adadelta spirals-mlp.wide digits-cnn.fp16 patches-mlp.batch-norm digits-mlp.batch-norm
        digits-mlp.selu
    """,
    "wrong-loss": """
        digits-mlp.adadelta digits-mlp.narrow digits-mlp.exponential spirals-mlp.momentum digits-cnn.adam
        digits-mlp.high-rate
    """,
    "wrong-head": """
        digits-mlp.adam digits-mlp.dropout digits-lstm.clipped wine-mlp.batch-2 digits-mlp.bf16 digits-mlp.gelu
    """,
    "missing-log-softmax": """
        digits-softmax.unit-scale digits-mlp.sparse-weights digits-mlp.bf16 digits-softmax.momentum digits-mlp.leaky
        digits-lstm.batch-8
    """,
    "summed-loss": """
        digits-mlp.wide-sparse digits-plain-deep.adam spirals-mlp.wide patches-mlp.momentum patches-mlp.wide
        digits-mlp.adamw-decay
    """,
    "never-evaluating": """
        patches-mlp.momentum wine-mlp.batch-norm diabetes-mlp.sgd digits-imbalanced.sgd digits-cnn.batch-norm
        patches-mlp.wide
    """,
    "missing-activations": """
        diabetes-mlp.batch-4 spirals-mlp.tanh digits-mlp.momentum digits-mlp.prelu digits-mlp.leaky
        digits-mlp.smoothed-labels spirals-mlp.deep digits-imbalanced.sgd wine-selu.sgd digits-cnn.batch-norm
        patches-mlp.lenet digits-autoencoder.constant-rate
    """,
    "dead-relu": """
        digits-mlp.deep-batch-norm digits-mlp.narrow wine-mlp.adam spirals-mlp.deep digits-mlp.clipped
        digits-cnn.sgd
    """,
}
"""Fault -> the healthy variants (base.label) it is injected into, at seed 0."""
