"""The compiled kernels against naive float64 models, and the emulated exp/log unit against the exact functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spinn2emu.accelerators import exp, log
from spinn2fw.kernels import adam, lif, loss

f = np.float32
SMALLEST, LARGEST = np.nextafter(f(0), f(1)), np.finfo(f).max
ALPHA, BETA = math.exp(-1 / 5), math.exp(-1 / 20)
SEEDS = st.integers(0, 2**32 - 1)


def ordinals(values: np.ndarray) -> np.ndarray:
    """Numbers of float32 values in ascending order: neighbours differ by 1."""
    bits = np.asarray(values, f).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def neighbours(center: float, count: int) -> np.ndarray:
    """`count` consecutive float32 values around `center` on the same side of 0, ascending."""
    bits = f(center).view(np.int32) + np.arange(-count // 2, count // 2, dtype=np.int32)
    return np.sort(bits.view(f))


def apply(function: Callable[[np.float32], np.float32], x: np.ndarray) -> np.ndarray:
    return np.array([function(value) for value in x], f)


def assert_within_an_ulp(got: np.ndarray, exact: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        distance = np.abs(ordinals(got) - ordinals(exact.astype(f)))
    assert distance.max() <= 1


# --- exp and log -----------------------------------------------------------------------------------------------------

EXP_GRID = np.concatenate(
    [np.linspace(-104.5, 89, 40_001), np.linspace(-2, 2, 20_001), -np.logspace(-30, 2, 5_001)]
).astype(f)
LOG_GRID = np.concatenate([np.logspace(-45, 38.5, 40_001), np.linspace(0.5, 2, 20_001), np.arange(1.0, 300)]).astype(f)


def exact_exp(x: np.ndarray) -> np.ndarray:
    return np.array([math.exp(value) for value in x.astype(float)])


def exact_log(x: np.ndarray) -> np.ndarray:
    return np.array([math.log(value) for value in x.astype(float)])


def test_exp_is_exact_to_an_ulp_on_a_grid() -> None:
    assert_within_an_ulp(apply(exp, EXP_GRID), exact_exp(EXP_GRID))


def test_log_is_exact_to_an_ulp_on_a_grid() -> None:
    x = LOG_GRID[LOG_GRID > 0]
    assert_within_an_ulp(apply(log, x), exact_log(x))


@given(st.floats(-150, 100, width=32))
def test_exp_is_exact_to_an_ulp(x: float) -> None:
    assert_within_an_ulp(apply(exp, np.array([x], f)), exact_exp(np.array([x])))


@given(st.floats(float(SMALLEST), float(LARGEST), width=32))
def test_log_is_exact_to_an_ulp(x: float) -> None:
    assert_within_an_ulp(apply(log, np.array([x], f)), exact_log(np.array([x])))


HALF_LN2 = math.log(2) / 2  # where the reduction goes over to the next power of two


@pytest.mark.parametrize(
    "center", [HALF_LN2, -HALF_LN2, 3 * HALF_LN2, -101 * HALF_LN2, 1.0, 88.7228, -87.3, -103.97, 1e-6, -1e-6]
)
def test_exp_is_monotonic_on_consecutive_values(center: float) -> None:
    x = neighbours(center, 4000)
    assert len(np.unique(x)) == 4000
    got = apply(exp, x)
    assert (got[1:] >= got[:-1]).all()
    assert_within_an_ulp(got, exact_exp(x))


@pytest.mark.parametrize("center", [math.sqrt(0.5), math.sqrt(2), 1.0, 2.0, 0.1, 1e-38, 1e-40, 3e38])
def test_log_is_monotonic_on_consecutive_values(center: float) -> None:
    x = neighbours(center, 4000)
    assert len(np.unique(x)) == 4000
    got = apply(log, x)
    assert (got[1:] >= got[:-1]).all()
    assert_within_an_ulp(got, exact_log(x))


def test_exp_at_its_edges() -> None:
    top = f(88.72283)  # the last value with a finite result
    bottom = f(-103.97207)  # the last whose result rounds to more than 0
    assert exp(f(0)) == 1 and exp(f(-0.0)) == 1
    assert exp(f(1)) == f(math.e)
    assert math.isfinite(exp(top)) and exp(np.nextafter(top, f(100))) == math.inf
    assert exp(bottom) == SMALLEST and exp(f(-104)) == 0
    assert exp(f(np.inf)) == math.inf and exp(f(-np.inf)) == 0
    assert math.isnan(exp(f(np.nan)))


def test_log_at_its_edges() -> None:
    assert log(f(1)) == 0
    assert log(f(2)) == f(math.log(2)) and log(f(0.5)) == -f(math.log(2))
    assert log(LARGEST) == f(math.log(LARGEST)) and log(SMALLEST) == f(math.log(SMALLEST))


# --- neurons ---------------------------------------------------------------------------------------------------------


def layer(seed: int) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Random numbers, weights (n_in, n_out), and the ascending ids of some inputs."""
    rng = np.random.default_rng(seed)
    n_in, n_out = rng.integers(1, 30, 2)
    W = rng.normal(0.3, 1, (n_in, n_out)).astype(f)
    return rng, W, np.flatnonzero(rng.random(n_in) < 0.4).astype(np.uint16)


@given(SEEDS)
def test_forward_step(seed: int) -> None:
    rng, W, inputs = layer(seed)
    n = W.shape[1]
    I, V = (rng.normal(0.5, 1, n).astype(f) for _ in range(2))
    expected_I = ALPHA * I.astype(float) + W[inputs].astype(float).sum(axis=0)
    expected_V = BETA * V.astype(float) + (1 - BETA) * expected_I
    assume(np.abs(expected_V - 1).min() > 1e-5)
    spikes = np.flatnonzero(expected_V > 1)
    ids, distances = np.full(n, 9999, np.uint16), np.full(n, -1, f)
    count = lif.step(W, I, V, f(ALPHA), f(BETA), f(1 - BETA), inputs, ids, distances)
    assert ids[:count].tolist() == spikes.tolist()  # ascending
    assert (ids[count:] == 9999).all() and (distances[count:] == -1).all()
    np.testing.assert_allclose(I, expected_I, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(V, np.where(expected_V > 1, 0, expected_V), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(distances[:count], (expected_I - expected_V)[spikes], rtol=1e-4, atol=1e-5)


def test_the_threshold_itself_is_no_spike() -> None:
    ids, distances = np.zeros(2, np.uint16), np.zeros(2, f)
    I, V = np.array([1, np.nextafter(f(1), f(2))], f), np.zeros(2, f)
    count = lif.step(np.zeros((1, 2), f), I, V, f(1), f(0), f(1), np.zeros(0, np.uint16), ids, distances)
    assert count == 1 and ids[0] == 1
    assert V.tolist() == [1, 0]


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_full_record_is_reported(room: int) -> None:
    I, V = np.full(4, 5, f), np.full(4, 5, f)
    arguments = np.zeros((1, 4), f), I, V, f(1), f(1), f(0), np.zeros(0, np.uint16)
    assert lif.step(*arguments, np.zeros(room, np.uint16), np.zeros(room, f)) == lif.FULL


@given(SEEDS)
def test_adjoint_step(seed: int) -> None:
    rng, W, _ = layer(seed)
    n = W.shape[1]
    lI, lV = (rng.normal(0, 1, n).astype(f) for _ in range(2))
    spoke = rng.random(n) < 0.4
    ids = np.flatnonzero(spoke).astype(np.uint16)
    distances = rng.uniform(0.5, 4, len(ids)).astype(f)
    errors = np.where(spoke & (rng.random(n) < 0.7), rng.normal(0, 1, n), 0).astype(f)
    jump = np.zeros(n)
    jump[ids] = (lV[ids].astype(float) + errors[ids]) / (distances + 1e-10)
    expected_lI = ALPHA * lI.astype(float) + (1 - ALPHA) * lV
    expected_lV = BETA * lV.astype(float) + jump
    lif.adjoint_step(lI, lV, f(ALPHA), f(1 - ALPHA), f(BETA), errors, ids, distances)
    np.testing.assert_allclose(lI, expected_lI, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(lV, expected_lV, rtol=1e-5, atol=1e-6)
    assert not errors.any()


@given(SEEDS)
def test_error_of_an_input(seed: int) -> None:
    rng, W, _ = layer(seed)
    lI, lV = (rng.normal(0, 1, W.shape[1]).astype(f) for _ in range(2))
    expected = W.astype(float) @ (lV.astype(float) - lI)
    got = [lif.input_error(W, lI, lV, k) for k in range(len(W))]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@given(SEEDS)
def test_gradient(seed: int) -> None:
    rng, W, inputs = layer(seed)
    G, lI = rng.normal(0, 1, W.shape).astype(f), rng.normal(0, 1, W.shape[1]).astype(f)
    expected = G.astype(float)
    expected[inputs] -= 5.0 * lI.astype(float)
    silent = np.setdiff1d(np.arange(len(W)), inputs)
    before = G[silent].copy()
    lif.add_gradient(G, lI, f(5), inputs)
    np.testing.assert_allclose(G, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(G[silent], before)


# --- loss ------------------------------------------------------------------------------------------------------------

XI, A, B, BATCH = 1.5, 1e-2, 100.0, 22


def exact_loss(t: np.ndarray, y: int, a: float = A, b: float = B) -> tuple[float, float]:
    """Cross-entropy and loss of one sample, in float64."""
    z = -t / XI
    ce = math.log(np.exp(z - z.max()).sum()) + z.max() - z[y]
    return ce, ce + a * (math.exp(t[y] / b) - 1)


def loss_of(first: np.ndarray, y: int, a: float = A, b: float = B) -> tuple[float, float, np.ndarray, np.ndarray]:
    probability, errors = np.full(len(first), np.nan, f), np.full(len(first), np.nan, f)
    ce, total = loss.first_spike_loss(first.astype(np.int16), y, f(XI), f(a), f(b), f(BATCH), probability, errors)
    return ce, total, probability, errors


CASES = st.lists(st.integers(1, 60), min_size=1, max_size=10).flatmap(
    lambda t: st.tuples(st.just(np.array(t)), st.integers(0, len(t) - 1))
)


@given(CASES)
def test_loss_and_its_derivative(case: tuple[np.ndarray, int]) -> None:
    first, y = case
    ce, total, probability, errors = loss_of(first, y)
    exact_ce, exact_total = exact_loss(first.astype(float), y)
    assert ce == pytest.approx(exact_ce, rel=1e-5, abs=1e-6)
    assert total == pytest.approx(exact_total, rel=1e-5, abs=1e-6)
    assert probability.astype(float).sum() == pytest.approx(1, abs=1e-6)
    for k in range(len(first)):
        step = np.zeros(len(first))
        step[k] = 1e-4
        slope = (exact_loss(first + step, y)[1] - exact_loss(first - step, y)[1]) / 2e-4
        assert errors[k] == pytest.approx(slope / BATCH, rel=1e-4, abs=1e-7)


def test_loss_of_the_farthest_spikes_is_finite() -> None:
    ce, _, probability, errors = loss_of(np.array([0, 8000]), 1)
    assert ce == pytest.approx(8000 / XI, rel=1e-6)
    assert probability.tolist() == [1, 0] and np.isfinite(errors).all()


@given(CASES)
def test_without_its_weight_the_late_term_takes_no_part(case: tuple[np.ndarray, int]) -> None:
    """a = 0: exp(t_y / b) is not computed; for a small b it would be infinite, and 0 times that no number."""
    first, y = case
    ce, total, _, errors = loss_of(first, y, 0.0, 0.01)
    assert total == ce == loss_of(first, y)[0]
    softmax = np.exp((first.min() - first) / XI) / np.exp((first.min() - first) / XI).sum()
    expected = (np.eye(len(first))[y] - softmax) / XI / BATCH
    np.testing.assert_allclose(errors, expected, rtol=1e-4, atol=1e-7)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_the_first_class_wins_a_tie(first: list[int]) -> None:
    assert loss.classify(np.array(first, np.int16)) == first.index(min(first))


# --- Adam, and silent neurons ----------------------------------------------------------------------------------------


def test_adam_over_several_steps() -> None:
    rng = np.random.default_rng(0)
    lr, beta1, beta2, eps, decay = 0.01, 0.9, 0.999, 1e-5, 6.5e-4
    W = rng.normal(0, 1, 50).astype(f)
    m, v = np.zeros(50, f), np.zeros(50, f)
    exact_W, exact_m, exact_v = W.astype(float), np.zeros(50), np.zeros(50)
    for t in range(1, 21):
        G = rng.normal(0, 10 ** rng.uniform(-5, 1), 50).astype(f)
        G[:5] = 0
        g = G + decay * exact_W
        exact_m = beta1 * exact_m + (1 - beta1) * g
        exact_v = beta2 * exact_v + (1 - beta2) * g**2
        exact_W = exact_W - lr * (exact_m / (1 - beta1**t)) / (np.sqrt(exact_v / (1 - beta2**t)) + eps)
        numbers = lr / (1 - beta1**t), 1 / math.sqrt(1 - beta2**t), beta1, beta2, 1 - beta1, 1 - beta2, eps, decay
        adam.adam_step(W, m, v, G, *map(f, numbers))
        np.testing.assert_allclose(m, exact_m, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(v, exact_v, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(W, exact_W, rtol=1e-5, atol=1e-5)
    assert np.abs(exact_W[5:] - W[5:].astype(float)).max() < 1e-5 < np.abs(exact_m[5:]).min()


def test_add() -> None:
    total, part = np.array([1, 2, 3], f), np.array([0.5, -2, 1e-10], f)
    adam.add(total, part)
    assert total.tolist() == [1.5, 0, 3]
    assert part.tolist() == [0.5, -2, f(1e-10)]


def test_neurons_wake_after_their_patience() -> None:
    W = np.array([[1, 1, 1], [-2, -2, -2], [0, 0, 0]], f)
    silence = np.zeros(3, np.int32)
    before, raised = W.copy(), [1.5, -1, 0]
    # Neuron 0 speaks, 1 is silent for good, 2 speaks once. Samples by 4, patience 10: the third batch wakes.
    for batch, spoke in enumerate([(1, 0, 0), (1, 0, 1), (1, 0, 0)], 1):
        adam.wake_silent(W, silence, np.array(spoke, np.uint8), 4, 10, f(0.5))
        assert silence[0] == 0
        if batch < 3:
            np.testing.assert_array_equal(W, before)
    np.testing.assert_array_equal(W[:, 1], raised)
    np.testing.assert_array_equal(W[:, [0, 2]], before[:, [0, 2]])
    assert silence.tolist() == [0, 0, 4]  # the count of the woken one starts anew
    adam.wake_silent(W, silence, np.array([1, 0, 1], np.uint8), 4, 10, f(0.5))
    np.testing.assert_array_equal(W[:, 1], raised)
    assert silence.tolist() == [0, 4, 0]


@pytest.mark.parametrize(("samples", "patience", "batches"), [(4, 8, 2), (4, 9, 3), (4, 4, 1), (1, 1, 1), (5, 4, 1)])
def test_a_neuron_wakes_at_its_patience_and_not_before(samples: int, patience: int, batches: int) -> None:
    W, silence = np.ones((2, 1), f), np.zeros(1, np.int32)
    for batch in range(1, batches + 1):
        assert W.tolist() == [[1], [1]], f"woken before batch {batch}"
        adam.wake_silent(W, silence, np.zeros(1, np.uint8), samples, patience, f(0.5))
    assert W.tolist() == [[1.5], [1.5]] and silence.tolist() == [0]
