"""Healthy variants: other optimizers, rates, schedules, batch sizes, activations, depths, and what only looks ill."""

from __future__ import annotations

VARIANTS: dict[str, str] = {
    "digits-softmax": """
        sgd-high            optimizer.lr=0.5
        momentum            optimizer.name=momentum optimizer.lr=0.02
        adam                optimizer.name=adam optimizer.lr=0.01
        batch-8             training.batch_size=8 optimizer.lr=0.03
        cosine              schedule.name=cosine optimizer.lr=0.3
        unit-scale          task.preprocessing=["scale-to-unit"] optimizer.lr=0.5
    """,
    "digits-mlp": """
        sgd                 optimizer.name=sgd optimizer.lr=0.1
        momentum            optimizer.name=momentum optimizer.lr=0.03
        adam                optimizer.name=adam optimizer.lr=0.003
        adamw-decay         optimizer.name=adamw optimizer.lr=0.003 optimizer.weight_decay=0.1
        rmsprop             optimizer.name=rmsprop optimizer.lr=0.001
        adagrad             optimizer.name=adagrad optimizer.lr=0.02
        adadelta            optimizer.name=adadelta optimizer.lr=1.0
        high-rate           optimizer.lr=0.15
        low-rate            optimizer.lr=0.005 optimizer.weight_decay=0.0
        batch-4             training.batch_size=4 training.epochs=3 optimizer.lr=0.005
        batch-8             training.batch_size=8 training.epochs=6 optimizer.lr=0.01
        batch-256           training.batch_size=256 training.epochs=40
        constant-rate       schedule.name=constant
        steps               schedule.name=step
        exponential         schedule.name=exponential schedule.gamma=0.9
        long-warmup         schedule.name=cosine schedule.warmup=5.0
        tanh                model.activation=tanh model.init=xavier-normal
        sigmoid             model.activation=sigmoid model.init=xavier-normal optimizer.lr=0.2
        leaky               model.activation=leaky-relu
        prelu               model.activation=prelu
        elu                 model.activation=elu
        selu                model.activation=selu model.init=lecun-normal
        gelu                model.activation=gelu
        silu                model.activation=silu
        batch-norm          model.norm=batch
        layer-norm          model.norm=layer
        deep                model.widths=[64,64,64,64,64,64]
        deep-batch-norm     model.widths=[32,32,32,32,32,32,32,32,32,32] model.norm=batch
        narrow              model.widths=[24]
        wide-sparse         model.widths=[512] optimizer.weight_decay=0.003
        dropout             model.dropout=0.4
        clipped             training.clip_norm=0.5
        orthogonal          model.init=orthogonal
        small-head-off      model.head_init=default
        smoothed-labels     loss.name=cross-entropy loss.label_smoothing=0.1
        noise               training.augment=["noise"]
        bf16                training.precision=bf16
        sparse-weights      training.l1=0.0003
        hinge               loss.name=hinge
        early-stopping      training.patience=3 training.epochs=40
        plateau             schedule.name=plateau schedule.patience=1 training.epochs=25
        rare-classes        task.imbalance=8 loss.name=cross-entropy loss.balanced=true training.epochs=25
        frozen-body         model.name=fine-tuned model.run=before
        thawed-body         model.name=fine-tuned model.run=before model.freeze=false
        mean-subtracted     task.preprocessing=["subtract-mean","scale-to-unit"]
    """,
    "digits-cnn": """
        adam                optimizer.name=adam optimizer.lr=0.002
        sgd                 optimizer.name=sgd optimizer.lr=0.1
        batch-128           training.batch_size=128 training.epochs=16
        long-warmup         schedule.name=cosine schedule.warmup=4.0
        batch-norm          model.norm=batch
        dropout             model.dropout=0.5
        tanh                model.activation=tanh model.init=xavier-normal
        lenet               model.name=lenet-5
        fp16                training.precision=fp16
        frozen-body         model.name=fine-tuned model.run=before
    """,
    "digits-lstm": """
        adamw               optimizer.name=adamw optimizer.lr=0.01
        rmsprop             optimizer.name=rmsprop optimizer.lr=0.003
        two-layers          model.layers=2
        batch-8             training.batch_size=8 training.epochs=4
        clipped             training.clip_norm=0.3
    """,
    "digits-plain-deep": """
        adam                optimizer.name=adam optimizer.lr=0.002 training.epochs=10
        sgd                 optimizer.name=sgd optimizer.lr=0.2 training.epochs=10
        layer-norm          model.norm=layer optimizer.lr=0.02
        batch-16            training.batch_size=16 training.epochs=4 optimizer.lr=0.02
    """,
    "spirals-mlp": """
        adamw               optimizer.name=adamw optimizer.lr=0.005
        long                training.epochs=90
        tanh                model.activation=tanh model.init=xavier-normal
        momentum            optimizer.name=momentum optimizer.lr=0.05
        batch-8             training.batch_size=8 training.epochs=10 optimizer.lr=0.002
        deep                model.widths=[32,32,32,32]
        wide                model.widths=[256]
    """,
    "wine-mlp": """
        sgd                 optimizer.name=sgd optimizer.lr=0.1
        full-batch          training.batch_size=133 optimizer.lr=0.1 training.epochs=80
        adam                optimizer.name=adam optimizer.lr=0.01
        batch-2             training.batch_size=2 optimizer.lr=0.003
        batch-norm          model.norm=batch
    """,
    "diabetes-mlp": """
        sgd                 optimizer.name=sgd optimizer.lr=0.02
        huber               loss.name=huber
        absolute-error      loss.name=absolute-error
        momentum            optimizer.name=momentum optimizer.lr=0.005
        batch-4             training.batch_size=4 optimizer.lr=0.0005
    """,
    "digits-autoencoder": """
        tanh                model.activation=tanh model.init=xavier-normal
        momentum            optimizer.name=momentum optimizer.lr=0.2
        wide-code           model.code=24
        deep                model.widths=[48,32]
        constant-rate       schedule.name=constant
    """,
    "patches-mlp": """
        momentum            optimizer.name=momentum optimizer.lr=0.01
        batch-norm          model.norm=batch
        lenet               model.name=lenet-5
        lenet-adam          model.name=lenet-5 optimizer.name=adam optimizer.lr=0.002
        wide                model.widths=[512]
    """,
    "text-lstm": """
        adamw               optimizer.name=adamw optimizer.lr=0.005
        batch-8             training.batch_size=8 training.epochs=3
        constant-rate       schedule.name=constant
    """,
    "spirals-svm": """
        margin-3            loss.margin=3.0
        cosine              schedule.name=cosine
        momentum            optimizer.name=momentum optimizer.lr=0.02
    """,
    "wine-selu": """
        adam                optimizer.name=adam optimizer.lr=0.003
        sgd                 optimizer.name=sgd optimizer.lr=0.03
    """,
    "digits-imbalanced": """
        milder              task.imbalance=5
        sgd                 optimizer.name=sgd optimizer.lr=0.1
    """,
    "blobs-softmax": """
        sgd                 optimizer.name=sgd optimizer.lr=0.5
        adam                optimizer.name=adam optimizer.lr=0.02
        batch-5             training.batch_size=5 optimizer.lr=0.1
        full-batch          training.batch_size=700 training.epochs=120
        eight-classes       task.classes=8
        mlp                 model.name=mlp model.widths=[16]
    """,
    "breast-cancer-mlp": """
        sgd                 optimizer.name=sgd optimizer.lr=0.1
        nesterov            optimizer.name=nesterov optimizer.lr=0.02
        rmsprop             optimizer.name=rmsprop optimizer.lr=0.002
        adagrad             optimizer.name=adagrad optimizer.lr=0.02
        brier               loss.name=brier
        weighted            loss.name=binary-cross-entropy loss.positive_weight=0.5
        batch-2             training.batch_size=2 training.epochs=6 optimizer.lr=0.0005
        tanh                model.activation=tanh model.init=xavier-normal
        deep                model.widths=[32,32,32,32]
        dropout             model.dropout=0.5
        warmup              schedule.name=cosine schedule.warmup=8.0
    """,
    "circles-mlp": """
        adam                optimizer.name=adam optimizer.lr=0.01
        momentum            optimizer.name=momentum optimizer.lr=0.05
        plateau             optimizer.name=sgd optimizer.lr=0.3 schedule.name=constant training.epochs=120
        relu                model.activation=relu model.init=he-normal
        deep                model.widths=[16,16,16]
        batch-5             training.batch_size=5 training.epochs=25 optimizer.lr=0.005
        sigmoid             model.activation=sigmoid optimizer.lr=0.03
        adadelta            optimizer.name=adadelta optimizer.lr=3.0
    """,
    "patches-cnn": """
        adam                optimizer.name=adam optimizer.lr=0.001
        sgd                 optimizer.name=sgd optimizer.lr=0.05
        batch-norm          model.norm=batch
        batch-16            training.batch_size=16 training.epochs=3 optimizer.lr=0.003
        constant-rate       schedule.name=constant
        dropout             model.dropout=0.3
        leaky               model.activation=leaky-relu
    """,
    "patches-resnet": """
        adam                optimizer.name=adam optimizer.lr=0.002
        two-blocks          model.blocks=2 training.epochs=4
        layer-norm          model.norm=layer optimizer.lr=0.02
        no-norm             model.norm=none optimizer.lr=0.01 training.epochs=8
        batch-16            training.batch_size=16 training.epochs=3 optimizer.lr=0.02
        steps               schedule.name=step
        frozen-body         model.name=fine-tuned model.run=before
    """,
    "digits-rnn": """
        adamw               optimizer.name=adamw optimizer.lr=0.002
        wide                model.width=128
        sgd                 optimizer.name=sgd optimizer.lr=0.3
        unclipped           training.clip_norm=0
        gru                 model.name=gru
        two-layers          model.layers=2
    """,
    "digits-transformer": """
        no-warmup           schedule.name=cosine
        norm-last           model.norm_first=false
        dropout             model.dropout=0.3 training.epochs=12
        wide                model.width=64
        batch-8             training.batch_size=8 training.epochs=4 optimizer.lr=0.001
        sgd                 optimizer.name=momentum optimizer.lr=0.05
    """,
    "recall-gru": """
        length-30           task.length=30 training.epochs=20
        length-8            task.length=8
        lstm                model.name=lstm model.width=32 task.length=8
        batch-16            training.batch_size=16 training.epochs=10
        wide                model.width=64
    """,
    "text-transformer": """
        batch-8             training.batch_size=8 training.epochs=3 optimizer.lr=0.002
        one-layer           model.layers=1
        norm-last           model.norm_first=false
        constant-rate       schedule.name=constant
    """,
    "digits-resnet": """
        deep                model.blocks=4
        adam                optimizer.name=adam optimizer.lr=0.002
        small-gradients     model.blocks=3 model.norm=layer optimizer.lr=0.02
    """,
    "digits-alexnet": """
        batch-norm          model.norm=batch
        no-dropout          model.dropout=0.0
    """,
    "digits-inception": "",
    "patches-inception": "",
    "digits-mislabelled": """
        half-as-many        task.mislabelled=0.1
        adam                optimizer.name=adam optimizer.lr=0.002
    """,
    "scenes-cnn": """
        momentum            optimizer.name=momentum optimizer.lr=0.05
        batch-norm          model.norm=batch
    """,
    "overlaps-cnn": """
        relu                model.activation=relu
        momentum            optimizer.name=momentum optimizer.lr=0.02
    """,
    "digits-gan": """
        wide-latent         model.latent=32
        batch-32            training.batch_size=32 training.epochs=8
    """,
}
"""Base -> one line a variant: its label, and what it sets. All reach the base's score."""
