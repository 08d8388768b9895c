"""Publish what this machine's Wi-Fi radio hears, as the JSON that localizer_node and recordings understand."""

from __future__ import annotations

import sys
import threading
from collections import Counter

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from std_msgs.msg import String

from mail_localization.config import Settings, setting
from mail_localization.data.radios import BACKENDS, open_radio
from mail_localization.errors import RadioError
from mail_localization.ros.conversions import wifi_to_msg
from mail_localization.ros.parameters import Parameters
from mail_localization.ros.spinning import run
from mail_localization.types import WifiReading, WifiScan

NAME = "wifi_scanner_node"
STOP_TIMEOUT = 2.0
"""Time a scan under way is waited for at the end, s."""
_SAME = 0.1
_WARN_PERIOD = 30.0


class ScannerSettings(Settings):
    """Everything wifi_scanner_node can be told."""

    interface: str = setting("", "Wi-Fi interface, e.g. wlan0; empty = the first")
    backend: str = setting("auto", "how the radio is read; auto = the first that works", choices=("auto", *BACKENDS))
    period: float = setting(2.0, "time between two looks at the radio, s", minimum=0.1, maximum=3600.0)
    max_age: float = setting(15.0, "results older than this are left out, s", minimum=0.1, maximum=3600.0)


class WifiScannerNode(Node):  # type: ignore[misc]
    """Publish a scan whenever the radio has heard something new; each result tells its age.

    Raises:
        ConfigError: a parameter is unknown or out of range.
        RadioError: there is no radio, or it may not be read.
    """

    def __init__(self) -> None:
        super().__init__(NAME)
        self.problems: Counter[str] = Counter()
        self._settings = Parameters(self, ScannerSettings, frozenset()).current
        self._radio = open_radio(self._settings.backend, self._settings.interface)
        self._publisher = self.create_publisher(String, "wifi/scan", qos_profile_sensor_data)
        self._newest_ns = 0
        self._noted = ""
        self._stopping = threading.Event()
        # A thread: iw scans for seconds, and the executor must hear of a shutdown meanwhile.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.get_logger().info(f"scanning with {self._radio.name}, publishing {self._publisher.topic_name}")

    def destroy_node(self) -> None:
        """End the scanning, then the node."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT)
        super().destroy_node()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except RadioError as err:
                self.get_logger().warning(f"no scan: {err}", throttle_duration_sec=_WARN_PERIOD)
            self._stopping.wait(self._settings.period)

    def _look(self) -> None:
        readings = self._radio.scan()
        now_ns = self.get_clock().now().nanoseconds
        if self._radio.note and self._radio.note != self._noted:
            self._noted = self._radio.note
            self.get_logger().warning(f"{self._radio.name}: {self._noted}")
        scan = self._news(readings, now_ns)
        if scan is not None and not self._stopping.is_set():
            self._publisher.publish(wifi_to_msg(scan))

    def _news(self, readings: list[WifiReading], now_ns: int) -> WifiScan | None:
        """Return a scan if anything was heard since the last one: what was published already is no new measurement."""
        recent = tuple(reading for reading in readings if reading.age <= self._settings.max_age)
        newest_ns = max((now_ns - round(reading.age * 1e9) for reading in recent), default=0)
        if newest_ns <= self._newest_ns + _SAME * 1e9:
            return None
        self._newest_ns = newest_ns
        return WifiScan(now_ns, recent)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM (exit code 0); 1 with one FATAL line where it cannot start."""
    return run(WifiScannerNode, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
