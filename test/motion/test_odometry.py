from __future__ import annotations

import math

import pytest

from mail_localization.motion.odometry import OdometryPieces, OdometrySettings, Piece
from mail_localization.types import OdometrySample


def _pieces(poses: list[OdometrySample]) -> tuple[list[Piece], OdometryPieces]:
    odometry = OdometryPieces(OdometrySettings(distance=0.5))
    return [piece for pose in poses for piece in odometry.add(pose)], odometry


def _ahead(count: int, step: float = 0.1, yaw: float = 0.0) -> list[OdometrySample]:
    return [OdometrySample(k * 100_000_000, k * step, 0.0, yaw) for k in range(count)]


def test_pieces_add_up_to_the_way() -> None:
    found, _ = _pieces(_ahead(51))
    assert sum(piece.distance for piece in found) == pytest.approx(5.0, abs=0.5)
    assert {piece.heading for piece in found} == {0.0}


def test_driving_backwards_heads_away_from_the_yaw() -> None:
    found, _ = _pieces(_ahead(51, step=-0.1))
    assert all(abs(piece.heading) == pytest.approx(math.pi) for piece in found)


def test_a_turn_ends_a_piece_early() -> None:
    found, _ = _pieces(
        [OdometrySample(0, 0, 0, 0), OdometrySample(10**8, 0.2, 0, 0), OdometrySample(2 * 10**8, 0.3, 0, 0.4)]
    )
    assert [piece.distance for piece in found] == [pytest.approx(0.3)]


def test_standing_gives_nothing() -> None:
    assert _pieces(_ahead(100, step=0.0))[0] == []


def test_a_jump_of_the_odometry_is_no_way() -> None:
    poses = _ahead(11) + [OdometrySample(s.t_ns + 1_100_000_000, s.x + 50.0, 0.0, 0.0) for s in _ahead(11)]
    found, odometry = _pieces(poses)
    assert odometry.counters["odom.jump"] == 1
    assert sum(piece.distance for piece in found) == pytest.approx(2.0, abs=0.3)


def test_bad_poses_are_counted_and_left_out() -> None:
    good = _ahead(20)
    bad = [OdometrySample(good[9].t_ns, math.nan, 0.0, 0.0), good[3], good[9]]
    found, odometry = _pieces(good[:10] + bad + good[10:])
    assert found == _pieces(good)[0]
    assert odometry.counters == {"odom.non_finite": 1, "odom.out_of_order": 1, "odom.duplicate": 1}
