"""Seeded generators and smooth random functions, the source of every random choice in the simulation."""

from __future__ import annotations

import zlib

import numpy as np

from mail_localization.types import FloatArray


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one named part, so that a change in one part leaves all others as they were."""
    return np.random.default_rng([seed, *(zlib.crc32(str(name).encode()) for name in names)])


class SmoothNoise:
    """Gaussian random function of time or place with a squared-exponential covariance.

    f(x) = std sqrt(2/K) sum_k cos(w_k.x + phi_k), w ~ N(0, 1/scale^2): random Fourier features
    (Rahimi and Recht 2007). Unlike a filtered random walk it can be asked anywhere, in any order.
    """

    def __init__(self, rng: np.random.Generator, std: float, scale: float, dims: int = 1, terms: int = 32) -> None:
        self._amplitude = std * np.sqrt(2.0 / terms)
        self._frequency = rng.normal(0.0, 1.0 / scale, (dims, terms))
        self._phase = rng.uniform(0.0, 2.0 * np.pi, terms)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Return the value at x: (n,) for one dimension, (..., dims) for more."""
        points = x[..., None] if len(self._frequency) == 1 else x
        values: FloatArray = np.cos(points @ self._frequency + self._phase).sum(axis=-1)
        return np.asarray(self._amplitude * values)


def gaussian_smooth(values: FloatArray, sigma: float) -> FloatArray:
    """Convolve (n, ...) along the first axis with a Gaussian of `sigma` samples.

    Both ends are continued point-symmetrically, so that end values and slopes stay.
    """
    reach = min(int(np.ceil(4.0 * sigma)), len(values) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    head = 2.0 * values[0] - values[reach:0:-1]
    tail = 2.0 * values[-1] - values[-2 : -reach - 2 : -1]
    padded = np.concatenate([head, values, tail]).reshape(len(values) + 2 * reach, -1)
    columns = [np.convolve(column, kernel, mode="valid") for column in padded.T]
    return np.stack(columns, axis=1).reshape(values.shape)
