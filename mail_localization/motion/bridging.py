"""The way between known positions: reckoned from its pieces, and tied to the positions at both ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.motion.tracker import Motion, MotionCalibration
from mail_localization.types import FloatArray

Stamps = npt.NDArray[np.int64]
Complex = npt.NDArray[np.complex128]

_PIECE = 1.5
"""Longest time that one piece of way takes, s: before it, the target stood."""
_KNOWN_STD = 1.5
"""Standard deviation of a known position, m: of marks between which a walker is not as even as a straight line."""
_WANDER = 0.2
"""Standard deviation that a metre of way adds to the position, beside what scale and direction miss, m."""
_DRIFT = 0.05
"""Standard deviation that a metre of way adds to scale (share) and direction (rad)."""
_SCALE_STD = 0.1
"""Spread of the scale from recording to recording, share."""
_ANYWHERE, _ANY_TURN = 1e4, 3.0
"""Standard deviations of what nothing is known of: a position, m; scale and direction."""


@dataclass(frozen=True, eq=False)
class BridgedWay:
    """Positions along a recording, and how sure they are."""

    t_ns: Stamps
    """(n,) ascending."""
    position: FloatArray
    """(n, 2) in `map`, m."""
    stddev: FloatArray
    """(n,) root of the mean squared distance that they are off, m."""

    def at(self, t_ns: Stamps) -> tuple[FloatArray, FloatArray]:
        """Return the positions (m, 2) and their standard deviations (m,) at some instants, m."""
        x, xp = (t_ns - self.t_ns[0]) * 1e-9, (self.t_ns - self.t_ns[0]) * 1e-9
        columns = [np.interp(x, xp, column) for column in (*self.position.T, self.stddev)]
        return np.stack(columns[:2], axis=-1), columns[2]


def bridged(
    motions: Sequence[Motion], calibration: MotionCalibration, known_ns: Stamps, known: FloatArray
) -> BridgedWay:
    """Return the way through known positions, with what lies before, between and after them reckoned.

    Positions and ways are complex numbers here, x + iy, so that one factor c both scales the way reckoned and turns it:
    z' = z + c way, linear in the state (z, c). c drifts along the way, which makes c's errors those of step length and
    of heading at once. A Kalman filter and a smoother (Rauch, Tung and Striebel) give the state at every instant from
    all known positions, before and after it: what does not close is spread along the way.

    Args:
        motions: pieces of way, in order.
        calibration: of the motions.
        known_ns: (k,) stamps of known positions, ascending, one a second or so; at least one.
        known: (k, 2) known positions, m.
    """
    stamps, ways, turns = _ways(motions, known_ns)
    known_z = dict(zip(known_ns.tolist(), (known[:, 0] + 1j * known[:, 1]).tolist(), strict=True))
    absolute = bool(motions) and all(motion.heading_known for motion in motions)
    factor, spread = np.exp(1j * calibration.heading_offset), math.hypot(calibration.heading_offset_std, _SCALE_STD)
    if not absolute:
        factor, spread = 0.0, _ANY_TURN
    state, covariance = np.array([0.0, factor]), np.diag([_ANYWHERE**2, spread**2]).astype(np.complex128)
    transitions = np.tile(np.eye(2, dtype=np.complex128), (len(stamps), 1, 1))
    transitions[:, 0, 1] = ways
    made: list[tuple[Complex, Complex, Complex, Complex]] = []
    for t_ns, transition, way, turn in zip(stamps.tolist(), transitions, np.abs(ways).tolist(), turns, strict=True):
        state = transition @ state
        covariance = transition @ covariance @ transition.conj().T
        covariance += np.diag([_WANDER**2 * way, _DRIFT**2 * way + turn])
        before = state, covariance
        if t_ns in known_z:
            gain = covariance[:, 0] / (covariance[0, 0].real + _KNOWN_STD**2)
            state = state + gain * (known_z[t_ns] - state[0])
            covariance = covariance - np.outer(gain, covariance[0])
        made.append((*before, state, covariance))
    return _smoothed(stamps, transitions, made)


def _ways(motions: Sequence[Motion], known_ns: Stamps) -> tuple[Stamps, Complex, FloatArray]:
    """Return stamps (n,), the way (n,) that ends at each, m, and what it adds to the variance of the factor (n,)."""
    # A clock that was set back must not turn the order round.
    ends = np.maximum.accumulate(np.array([motion.t_ns for motion in motions], dtype=np.int64))
    starts = np.maximum(np.concatenate([ends[:1], ends[:-1]]), ends - round(_PIECE * 1e9))
    starts[:1] = ends[:1] - round(_PIECE * 1e9)
    distances = np.array([motion.distance for motion in motions])
    headings = np.array([motion.heading for motion in motions])
    lost = [0.0 if motion.heading_known else motion.turn_std**2 for motion in motions]
    stamps = np.unique(np.concatenate([starts, ends, known_ns]))
    # The way up to an instant, and the turns missed: a straight line from the start of each piece to its end.
    knots = np.stack([starts, ends], axis=1).ravel()
    x, xp = (stamps - stamps[0]) * 1e-9, (knots - stamps[0]) * 1e-9
    grown = []
    for values in (distances * np.exp(1j * headings), np.array(lost)):
        total = np.cumsum(values)
        grown.append(np.interp(x, xp, np.stack([total - values, total], axis=1).ravel()) if len(ends) else 0.0 * x)
    return stamps, np.diff(grown[0], prepend=0.0), np.diff(grown[1], prepend=0.0)


def _smoothed(
    stamps: Stamps, transitions: Complex, made: Sequence[tuple[Complex, Complex, Complex, Complex]]
) -> BridgedWay:
    """Go back over filtered states: (predicted state, its covariance, filtered state, its covariance) each."""
    _, _, state, covariance = made[-1]
    positions, variances = [state[0]], [covariance[0, 0].real]
    for number in range(len(made) - 2, -1, -1):
        _, _, filtered, spread = made[number]
        predicted, predicted_spread, _, _ = made[number + 1]
        gain = spread @ transitions[number + 1].conj().T @ np.linalg.inv(predicted_spread)
        state = filtered + gain @ (state - predicted)
        covariance = spread + gain @ (covariance - predicted_spread) @ gain.conj().T
        positions.append(state[0])
        variances.append(covariance[0, 0].real)
    z = np.array(positions[::-1])
    return BridgedWay(stamps, np.stack([z.real, z.imag], axis=-1), np.sqrt(np.maximum(variances[::-1], 0.0)))
