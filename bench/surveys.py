"""Surveys of any size, and a search in each: made of smooth random fields, as a building's is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import numpy as np

from mail_localization.matching.magicol_filter import EvidenceSettings
from mail_localization.matching.magnetic_map import MapSettings, SurveyRows, build_map
from mail_localization.matching.magnetic_nn import MagneticNn, MagneticNnConfig
from mail_localization.matching.map_filter import FilterSettings, MapFilter, Reading
from mail_localization.matching.particles import ParticleSettings
from mail_localization.matching.polylines import Polyline, PolylineMap
from mail_localization.matching.radio_map import KnnMap, KnnSettings
from mail_localization.matching.sequences import MagneticMatcher, SequenceSettings
from mail_localization.motion.tracker import Motion, MotionCalibration
from mail_localization.types import FloatArray

NOISE = 1.0
"""Of a reading, microtesla."""
STEP = 0.7
"""m."""
AISLE, APART = 50.0, 3.0
"""Length of an aisle and distance of the next, m."""


def nearest_sequence(size: int) -> Callable[[], object]:
    """magnetic_nn: windows of 10 s."""
    config, rng = MagneticNnConfig(), np.random.default_rng(0)
    width = 3 * config.window.length // config.match.stride
    stored = rng.normal(size=(size, width)).astype(np.float32)
    method = MagneticNn(stored, rng.random((size, 2)), np.eye(2), config.match.stride)
    window = rng.normal(size=(1, config.window.length, 3)).astype(np.float32)
    return partial(method.predict, window, np.zeros(1, dtype=np.int64))


def warped_sequences(size: int) -> Callable[[], object]:
    """magicol: one look-up, a sequence of 5 m for each of three scales."""
    settings, rng = SequenceSettings(), np.random.default_rng(0)
    length = settings.length(settings.longest)
    along = _field(size * settings.survey_hop + length, settings.spacing, rng)
    places = np.stack([settings.spacing * np.arange(len(along)), np.zeros(len(along))], axis=1)
    paths = PolylineMap.joined([Polyline(places, along)], settings.spacing)
    matcher = MagneticMatcher(paths, settings, 2 * NOISE**2)
    evidence = EvidenceSettings()
    starts = itertools.cycle(rng.integers(0, len(along) - length, 50).tolist())

    def search() -> object:
        start = next(starts)
        query = along[start : start + length] + NOISE * rng.normal(size=(length, 3))
        return matcher.find([query] * len(settings.scales), evidence.ratio, evidence.matches)

    return search


def fingerprints(size: int) -> Callable[[], object]:
    """wifi_knn: one scan; a larger building has more access points, and a scan hears as many as before."""
    rng = np.random.default_rng(0)
    area = 2.0 * size
    places = rng.random((size, 2)) * math.sqrt(area)
    beacons = rng.random((size // 20, 2)) * math.sqrt(area)
    distance = np.linalg.norm(places[:, None] - beacons, axis=2)
    levels = -40 - 25 * np.log10(np.maximum(distance, 1.0)) + 3 * rng.normal(size=distance.shape)
    levels = np.where(distance < 15, levels, np.nan).astype(np.float32)
    settings = KnnSettings(k=5, distance="sorensen", representation="powed", device_gain="keep")
    radio_map = KnnMap(levels, places, settings)
    scans = itertools.cycle(rng.permutation(size)[:50].tolist())
    trust = np.ones(len(beacons))
    return lambda: radio_map.match(levels[next(scans)].astype(np.float64), trust)


def particles(size: int) -> Callable[[], object]:
    """maloc: one step of 2,000 particles on a map of aisles."""
    rng, motions = np.random.default_rng(0), MotionCalibration(heading_offset_std=0.2)
    settings, maps = FilterSettings(particles=ParticleSettings(most=2000, fewest=2000)), MapSettings(directions=1)
    arc = np.arange(0.0, size, maps.spacing)
    aisle, along = np.divmod(arc, AISLE)
    places = np.stack([along, APART * aisle], axis=1)
    field = _field(len(arc), maps.spacing, rng)
    rows = np.concatenate([field, np.linalg.norm(field, axis=1, keepdims=True)], axis=1)
    cloud = MapFilter(build_map(SurveyRows(places, np.zeros(len(arc)), rows), maps), settings, motions, 0)
    walk = itertools.cycle(range(0, round(AISLE / maps.spacing) - 10, round(STEP / maps.spacing)))

    def step() -> object:
        row = next(walk)
        if row == 0:
            cloud.start_at(places[0], 1.0)
        cloud.advance(Motion(row, STEP, 0.1, 0.0, True), [Reading(1.0, rows[row] + NOISE * rng.normal(size=4))])
        return cloud.estimate()

    return step


def _field(count: int, spacing: float, rng: np.random.Generator) -> FloatArray:
    """Return a field (count, 3) along a way, microtesla, that is alike within about a metre."""
    width = np.arange(-3.0, 3.0 + spacing, spacing)
    kernel = np.exp(-0.5 * width**2)
    kernel /= np.linalg.norm(kernel)
    white = rng.normal(size=(count + len(kernel) - 1, 3))
    return 8.0 * np.stack([np.convolve(column, kernel, mode="valid") for column in white.T], axis=1)


SEARCHES = {
    "magnetic_nn, window": nearest_sequence,
    "magicol, look-up": warped_sequences,
    "wifi_knn, scan": fingerprints,
    "maloc, step": particles,
}
