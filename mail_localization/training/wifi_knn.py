"""Building the method wifi_knn from a survey: choice of its settings, and calibration, by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mail_localization.data.fingerprints import FingerprintTrace, gather, load_fingerprints
from mail_localization.errors import TrainingError
from mail_localization.matching.wifi_knn import Calibration, WifiKnn, WifiKnnConfig, build_map
from mail_localization.models.artifact import Tensors, save_model
from mail_localization.preprocess.wifi import AccessPoints
from mail_localization.training.calibration import with_calibration
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import probe, split_survey
from mail_localization.training.provenance import model_card
from mail_localization.training.radio_map import Fold, calibrate, choose, folds

CONFIG = WifiKnnConfig


def train(config: WifiKnnConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Store the survey's fingerprints, with the settings that are best across its recordings.

    Raises:
        TrainingError: a single recording, no access point, or fewer fingerprints than k.
    """
    split = split_survey(recordings, options)
    paths = list(dict.fromkeys([*split.final, *split.validation]))
    traces = dict(zip(paths, load_fingerprints(paths, options.topics, config.wifi, options.progress), strict=True))
    training, validation = ([traces[path] for path in part] for part in (split.training, split.validation))
    _check(config, training, options)
    parts = folds(config, training, validation, options.seed)
    chosen, score = choose(config, parts, options.progress)
    calibration = calibrate(chosen, parts)
    judged = _Survey(training, chosen)
    probed = probe(judged.localizer(calibration), split.validation, options.topics, options.progress)
    final = _Survey([traces[path] for path in split.final], chosen)
    names = final.access_points.names
    card = model_card(
        "wifi_knn", chosen, probed.errors, training, validation, options.seed, names, cross_validated_mean_m=score
    )
    save_model(out, with_calibration(card, probed.judged), final.tensors(calibration))


class _Survey:
    """Fingerprints of traces as one table."""

    def __init__(self, traces: Sequence[FingerprintTrace], config: WifiKnnConfig) -> None:
        self._config = config
        self.access_points: AccessPoints = gather(traces, config.wifi)
        fold = Fold.of(self.access_points, traces, [], config)
        self.rssi, self.positions = fold.rssi, fold.positions

    def localizer(self, calibration: Calibration) -> WifiKnn:
        radio_map = build_map(self._config, self.rssi, self.positions)
        return WifiKnn(self._config, self.access_points, radio_map, calibration, self.positions)

    def tensors(self, calibration: Calibration) -> Tensors:
        return {
            "rssi": self.rssi,
            "positions": self.positions,
            "calibration": calibration.tensor(),
            **self.access_points.tensors(),
        }


def _check(config: WifiKnnConfig, traces: Sequence[FingerprintTrace], options: TrainOptions) -> None:
    """Refuse a survey that cannot make a map."""
    where = ", ".join(str(trace.path) for trace in traces[:3]) + (", ..." if len(traces) > 3 else "")
    topic = options.topics.wifi
    count = sum(map(len, traces))
    if not len(gather(traces, config.wifi)):
        raise TrainingError(
            f"{where}: no access point is heard in {config.wifi.min_fingerprints} or more (wifi.min_fingerprints) of "
            f"the {count} scans on topic {topic!r} that have a reference and fresh results (wifi.max_age "
            f"{config.wifi.max_age:g} s); survey longer"
        )
    least = max(config.knn.k, 1) if config.kind == "knn" else 1
    if count < least:
        raise TrainingError(
            f"{where}: {count} scans on topic {topic!r} have a reference and fresh results, fewer than knn.k {least}; "
            "survey longer, or give a smaller knn.k"
        )
