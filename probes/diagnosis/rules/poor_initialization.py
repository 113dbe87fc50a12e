"""The weights begin far too large or far too small for the net's depth, and it does not learn.

What it detects
---------------
Outputs of the last layer that, before anything is learned, are many times larger than the inputs or next to
nothing, in a net that learns little.

Why it matters
--------------
Each layer multiplies what passes through by a factor that its initial weights set; over the depth these factors
multiply. Too large, the net is sure of wrong answers, its gradients are huge and the first steps ruin it; too small,
all inputs look alike to the last layers, and no gradient comes back.

Criterion
---------
In the first frame, at step 1, one of

- *large*: the median over the layers of the weights' standard deviation times the square root of the fan-in (He: 1.4,
  Xavier about 1, torch's default 0.6) is above `large_gain` (2), and it shows: the standard deviation of the output of
  the last layer that has weights, over the root mean square of the inputs where these were recorded, is above `large`
  (10), or most outputs of the modules with a bounded activation are saturated, or the first loss is above 1.6 times
  that of guessing (of a regression: the root of its first loss over the variance of the targets), or, in a net whose
  normalisation layers hide all this, the median step is below 1e-4 of the weights (1e-3 for *extreme* weights: a median
  above 3, which no scheme in use gives, with biases and scales as drawn, not trained before);
- *small*: that median is below `small_gain` (0.3), and what of the last layer's output differs from example to
  example, and not from unit to unit as biases do, is below `small` (1e-3), and not exactly zero (a last layer that
  begins at zero is common and healthy);
- *fading*: in a net of four layers or more, none of them bounded, what differs from example to example is after the
  last hidden layer less than `small` (1e-3) of what it is after the first layer, or less than `fades` (0.05) and what
  differs in the output is below `small` as well: each layer's weights are too small for the depth, though usual in
  themselves;
- *multiplied*: a recurrent matrix (`weight_hh` of RNN, LSTM, GRU and their cells) whose standard deviation times root
  of the units, its spectral radius, is above 3: each moment of a sequence multiplies what went before;
- *turning*: the median of the gains is below `small_gain` in a net with batch or group normalisation, and the median
  step is above 1e-2 of the weights, ten times the usual: normalisation hides the size of weights from the outputs, not
  from the steps.

A warning when after `steps_needed` (100) steps the training loss has fallen by less than `learned` (0.2), measured
from that of guessing where it began above it. When the weights are too large or too small also when, after twice as
many steps, less than 0.6 of the loss is gone and the net still gets wrong more than a third of what guessing gets
wrong (without an accuracy: less than half of the loss, where the level of guessing is known). In a run that is over
less than half of the loss is enough beside an accuracy that gets a fifth of it wrong; so is, with weights that are too
large, a validation that gets wrong a fifth or more of what guessing gets wrong, with an accuracy 0.1 or more behind
that of training; and with weights too small, by themselves or for the depth, a plateau of 0.4 of the run or
more (0.25 where outputs are next to nothing), at half of the first loss or above, before the loss fell. A
fading net is given 1,000 steps while the run goes on. Recurrent weights are held to what large ones are, and where
biases and scales are as drawn, to what *extreme* ones are.

In a run that is over, of 100 steps or more, it is a warning too: with weights that are too small, after 200, where
validation gets wrong a fifth or more of what guessing gets wrong, or leaves as much of the variance of the targets of a
mean squared error, while each activation, a tanh or another with a slope of 1 at zero, gives back 0.9 or more of the
standard deviation that it reads: the net is one linear map to the end; with turning weights, or a fading signal, where
less than 0.6 of the loss is gone and the accuracy is poor as above; with a fading signal also where less than half is
gone, with an accuracy that gets a fifth wrong or none; with weights that are too large where the
accuracy is poor and the level of guessing is not known; with extreme ones where validation gets wrong a tenth or more
of what guessing gets wrong, or leaves as much of the variance of the targets, or where neither the level of guessing
nor an accuracy is known, and the loss falls so certainly (5 standard errors) at the end that as many steps again would
take off half of it, or does not fall any more and leaps to the end (a twentieth of the latter half, 100 values or more,
at 2.5 times its level). And with extreme weights at any time when the loss is no number any more. Nothing otherwise.

Where no one training loss was logged, as of a generator and a discriminator, weights that are too large are held to the
fall of a distance between generated and real examples (Fréchet, FID, KID, MMD), from its value before the first step,
or from that of always giving the mean, where a score beside it tells. Small ones are usual there (Radford et al. 2016).

Apart from these, in a run that is over and learned as little: a bias of an LSTM or GRU one whole gate of which begins
below -4, with no other that begins as far above zero (as in biases drawn for long memories): the gate is shut.

Layers that begin with all weights equal are told by `symmetric-initialization`.

Evidence
--------
The standard deviation of the last layer's output at step 1, and the fall of the loss.

What to try
-----------
1. Initialise for the activation: kaiming_normal_ for ReLU, xavier_uniform_ for tanh and sigmoid, divided by the
   square root of the fan-in either way.
2. Leave the initialisation to torch.nn: its defaults suit nets of a few layers.
3. Add normalisation layers.

When it misleads
----------------
Regression on targets of large numbers may begin with large outputs on purpose; only a net that does not learn is
reported.

Example that fires
------------------
```python
model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(),
    nn.Linear(64, 10),
)
for module in model:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
train(model, torch.optim.SGD(model.parameters(), lr=0.02))
```

Example that stays quiet
------------------------
```python
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
train(model, torch.optim.SGD(model.parameters(), lr=0.1))
```

References
----------
- Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
- He et al., Delving deep into rectifiers, ICCV 2015.
- Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks,
  ICLR 2014 (small weights stay on a plateau).
- van Laarhoven, L2 regularization versus batch and weight normalization, 2017 (steps beside weights whose scale is
  taken out).
- Chizat, Oyallon and Bach, On lazy training in differentiable programming, NeurIPS 2019 (large ones learn no features).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from probes.diagnosis.achieved import achieved
from probes.diagnosis.finding import Evidence, Finding
from probes.diagnosis.gradients import step_size, without_decay
from probes.diagnosis.numbers import percent, short
from probes.diagnosis.outcome import came_to_little
from probes.diagnosis.progress import Progress, guessing_loss, progress, progress_if_known, variance_of_targets
from probes.diagnosis.rule import Rule
from probes.diagnosis.signs.broken import broken_loss
from probes.diagnosis.signs.drawn import begins_as_drawn
from probes.diagnosis.signs.gates import SHUT, shut_gates
from probes.diagnosis.signs.ill_begun import Kind, did_harm
from probes.diagnosis.signs.initial import Initial, first_loss, initial
from probes.diagnosis.signs.multiplied import BEYOND, multiplied
from probes.diagnosis.view import NotJudged, RunView

SATURATED = 0.5
"""Share of the outputs of the bounded activations that lie at the ends of their range (Debugger: half)."""
SURPRISE = 1.6
"""First loss over that of guessing, with which weights of such a size have shown (a default initialisation: 1.5)."""
SLOW, FRAMES = 1e-4, 4
"""Step over the size of the weights at the slow end (CS231n: 1e-3 is usual), and frames to tell it by."""
PLACES = 1001
"""Steps, evenly spaced, at which the size of a step is looked up."""
USUAL, FAST = 1e-3, 1e-2
"""The usual step over the size of the weights (CS231n), and ten times that, at which weights turn fast."""
TINY, LARGER = 0.1, 10.0
"""Gain a sixth of torch's default, and times ``small`` that outputs are then still next to nothing."""
EXTREME = 3.0
"""Gain that no scheme in use gives: twice that of He, more than any activation of `calculate_gain` asks for."""


def criterion(
    seen: Initial,
    surprise: float = 1.0,
    steps: float = 1e-3,
    normalised: bool = False,
    extreme: bool = False,
    *,
    large_gain: float = 2.0,
    small_gain: float = 0.3,
    large: float = 10.0,
    small: float = 1e-3,
    fades: float = 0.05,
    learned: float = 0.2,
    steps_needed: float = 100,
) -> Kind | None:
    """Whether the initial weights are far too large or too small, by themselves or for the depth of the net.

    Args:
        seen: what the first frame tells.
        surprise: the first loss over that of guessing; 1 where it is not known.
        steps: median step of a net with normalisation layers, over the size of its weights (CS231n: about 1e-3).
        normalised: whether normalisations take the scale out of the weights in front of them.
        extreme: whether the weights are beyond any scheme in use, as drawn.
        large_gain: gain above which the weights are to blame (He: 1.4).
        small_gain: gain below which they are (torch's default: 0.6).
        large: He, Xavier and torch's defaults stay between 0.05 and 3 for ten layers.
        small: float32 still computes well there, but the inputs look alike beside the biases.
        fades: what is left after the hidden layers (He: about 1), with outputs that are next to nothing.
        learned: fall of the loss above which no harm was done (used by the judge).
        steps_needed: steps before which nothing is said (used by the judge).
    """
    shows = seen.output > large or seen.saturated > SATURATED or surprise > SURPRISE
    shows |= steps < (USUAL if extreme else SLOW)
    if seen.gain > large_gain and shows:
        return "large"
    if 0.0 < seen.varying < (LARGER * small if seen.gain < TINY else small) and seen.gain < small_gain:
        return "small"
    limit = fades if 0.0 < seen.varying < small else small
    if seen.passed is not None and 0.0 < seen.passed < limit:
        return "fading"
    return "turning" if normalised and seen.gain < small_gain and steps > FAST else None


def judge(view: RunView, **thresholds: float) -> Sequence[Finding]:
    """Judge the first frame, and whether the net has learned since."""
    shut = _shut(view, thresholds)
    if shut:
        return shut
    chaotic = _chaotic(view, thresholds)
    if chaotic:
        return chaotic
    seen, learned = initial(view), progress_if_known(view)
    extreme = _extreme(view, seen)
    kind = criterion(seen, _surprise(view, learned), _usual_step(view), _batch_normalised(view), extreme, **thresholds)
    broke = _broke(view, seen, thresholds) if extreme else []
    if broke:
        return broke
    learned = achieved(view) if kind == "large" else progress(view)
    if learned is None or view.last_step < thresholds["steps_needed"]:
        raise NotJudged(f"needs a training loss over {int(thresholds['steps_needed'])} steps")
    least, steps = thresholds["learned"], thresholds["steps_needed"]
    hardly = kind == "small" and seen.varying >= thresholds["small"]  # such outputs are to blame if nothing is learned
    if kind is None or (hardly and learned.share >= least) or not did_harm(view, kind, learned, least, steps, extreme):
        return []
    gone = Evidence(learned.series, learned.share, note=f"fall of the loss ({percent(max(learned.share, 0.0))})")
    went = f"{learned.series} went from {short(learned.start)} to {short(learned.end)}."
    return [_report(view, seen, kind, went, (*_evidence(seen, kind, thresholds), gone), 1)]


def _report(view: RunView, seen: Initial, kind: Kind, went: str, evidence: tuple[Evidence, ...], first: int) -> Finding:
    return RULE.finding(
        "warning",
        f"{_message(seen, kind)} {went}",
        (first, view.last_step),
        view,
        layers=(seen.layer,),
        evidence=evidence,
        suggestions=(
            "initialise for the activation in use: torch.nn.init.kaiming_normal_ for ReLU, xavier_uniform_ for "
            "tanh and sigmoid",
            "add batch or layer normalisation between the layers"
            if kind != "turning"
            else "or lower the learning rate until the weights come to their usual size",
            "use shortcuts (residual blocks), or fewer layers"
            if kind == "fading"
            else "or leave the initialisation to torch.nn",
        ),
    )


def _surprise(view: RunView, learned: Progress | None) -> float:
    """The first loss over that of guessing; of a regression the root of that ratio, to the variance of the targets: the
    size of the first errors over that of the targets. 1 where it is not known.
    """
    first = first_loss(view)
    if first is None or first < 0:
        return 1.0
    guessing = learned.guessing if learned is not None else guessing_loss(view)
    if guessing:
        return first / guessing
    variance = learned.variance if learned is not None else variance_of_targets(view)
    return math.sqrt(first / variance) if variance else 1.0


def _batch_normalised(view: RunView) -> bool:
    """Whether weights are followed by normalisations that take their scale out; layer normalisations may stand in front
    of them, as in transformers.
    """
    return any(kind in module.type for module in view.modules for kind in ("BatchNorm", "GroupNorm", "InstanceNorm"))


def _shut(view: RunView, thresholds: dict[str, float]) -> list[Finding]:
    """The finding when gates begin shut and a run that is over has learned little."""
    gates, learned = shut_gates(view), progress_if_known(view)
    if not gates or learned is None or view.status == "running" or view.last_step < thresholds["steps_needed"]:
        return []
    if not (learned.share < thresholds["learned"] and came_to_little(view, learned)):
        return []
    gate = gates[0]
    return [
        RULE.finding(
            "warning",
            f"{gate.name} begins at {short(gate.least)} for a whole gate of {gate.module}: a sigmoid passes on nothing "
            f"there. {learned.series} went from {short(learned.start)} to {short(learned.end)}.",
            (0, view.last_step),
            view,
            layers=tuple(gate.name for gate in gates),
            evidence=(
                Evidence("weight_min", gate.least, SHUT, "<", 0, gate.name, "smallest bias"),
                Evidence("weight_mean", gate.mean, None, step=0, layer=gate.name, note="mean of the biases"),
                Evidence(learned.series, learned.share, note=f"fall of the loss ({percent(max(learned.share, 0.0))})"),
            ),
            suggestions=(
                "begin the bias of the forget gate of an LSTM at 1, not below zero, and leave the others near zero",
                "check which part of the bias is which gate (LSTM: input, forget, candidate, output)",
            ),
        )
    ]


def _chaotic(view: RunView, thresholds: dict[str, float]) -> list[Finding]:
    """The finding on recurrent weights that began beyond any scheme in use, in a net that came to little."""
    found, learned = multiplied(view), progress_if_known(view)
    least, steps = thresholds["learned"], thresholds["steps_needed"]
    if not found or learned is None or view.last_step < steps:
        return []
    if not did_harm(view, "large", learned, least, steps, extreme=begins_as_drawn(view)):
        return []
    largest = max(found, key=lambda weight: weight.radius)
    return [
        RULE.finding(
            "warning",
            f"{largest.name} begins with a spectral radius of about {short(largest.radius)} (standard deviation times "
            f"root of the units): each moment of a sequence multiplies what went before by as much. {learned.series} "
            f"went from {short(learned.start)} to {short(learned.end)}.",
            (0, view.last_step),
            view,
            layers=tuple(weight.name for weight in found),
            evidence=(
                Evidence("weight_std", largest.radius, BEYOND, ">", 0, largest.name, "times root of the units"),
                Evidence(learned.series, learned.share, note=f"fall of the loss ({percent(max(learned.share, 0.0))})"),
            ),
            suggestions=(
                "initialise recurrent weights orthogonally (torch.nn.init.orthogonal_), or leave them to torch.nn",
                "use LSTM or GRU in place of a plain RNN",
            ),
        )
    ]


def _usual_step(view: RunView) -> float:
    """Median step of a net that normalises, over its weights: large ones turn slowly, small ones fast.

    `USUAL` for other nets.
    """
    if not any("Norm" in module.type for module in view.modules) or view.warming_up:
        return USUAL
    try:
        sizes = without_decay(view, step_size(view)).finite
    except NotJudged:
        return USUAL
    if len(sizes) < FRAMES:
        return USUAL
    # Frames are dense at the beginning: each stands for the steps around it.
    places = np.linspace(sizes.steps[0], sizes.steps[-1], PLACES)
    return float(np.median(np.interp(places, sizes.steps, sizes.values)))


def _extreme(view: RunView, seen: Initial) -> bool:
    """Whether the weights are larger than any scheme in use makes them, and were not trained before."""
    return seen.gain > EXTREME and begins_as_drawn(view)


def _broke(view: RunView, seen: Initial, thresholds: dict[str, float]) -> list[Finding]:
    """The finding on a training loss that is no number any more, after weights that began beyond any scheme in use."""
    broken = broken_loss(view)
    if broken is None:
        return []
    went = f"{broken.series} is no number from step {broken.step} on."
    return [_report(view, seen, "large", went, _evidence(seen, "large", thresholds), 0)]


def _message(seen: Initial, kind: Kind) -> str:
    if kind == "fading":
        return (
            f"Before anything is learned, what differs from example to example after the last hidden layer is "
            f"{short(seen.passed or 0.0)} of what it is after the first layer: the signal dies on its way up through "
            f"weights that are too small for so many layers (standard deviation times root of the fan-in: "
            f"{short(seen.gain)})."
        )
    if kind == "turning":
        return (
            f"The initial weights are far too small (standard deviation times root of the fan-in: {short(seen.gain)}). "
            f"Normalisation hides it, but steps turn them so much further: above {percent(FAST)} of their size."
        )
    blamed = f"far too {kind} (standard deviation times root of the fan-in: {short(seen.gain)})"
    if kind == "large" and seen.saturated > SATURATED:
        what = f"{percent(seen.saturated)} of the outputs of the bounded activations are saturated"
    elif kind == "small":
        what = f"the outputs of {seen.layer} have a standard deviation of {short(seen.varying)} from example to example"
    elif seen.output > 1.0:
        what = f"the outputs of {seen.layer} have a standard deviation of {short(seen.spread)}"
    else:
        return f"The initial weights are {blamed}, where common schemes give 0.6 to 1.7."
    return f"Before anything is learned {what}: the initial weights are {blamed}."


def _evidence(seen: Initial, kind: Kind, thresholds: dict[str, float]) -> tuple[Evidence, ...]:
    if kind == "fading":
        return (Evidence("activation_std", seen.passed or 0.0, thresholds["small"], "<", 1, seen.layer, "passed up"),)
    gain = thresholds["large_gain" if kind == "large" else "small_gain"]
    weights = Evidence("weight_std", seen.gain, gain, ">" if kind == "large" else "<", 0, None, "times root of fan-in")
    if kind == "small":
        across = Evidence("activation_std", seen.varying, thresholds["small"], "<", 1, seen.layer, "across examples")
        return weights, across
    if kind == "turning":
        return weights, Evidence("update_ratio", FAST, FAST, ">", note="median step, over the size of the weights")
    if seen.saturated > SATURATED:
        return weights, Evidence("saturated_fraction", seen.saturated, SATURATED, ">", 1, None, "median of the modules")
    limit = thresholds["large"] if seen.output > thresholds["large"] else None
    return weights, Evidence("activation_std", seen.spread, limit, ">", 1, seen.layer, "output at step 1")


RULE = Rule(
    slug="poor-initialization",
    family="initialisation",
    severity="warning",
    title="The initial weights do not suit the net",
    needs="the outputs of the last layer at step 1, and the training loss over 100 steps",
    criterion=criterion,
    judge=judge,
    doc=__doc__,
)
