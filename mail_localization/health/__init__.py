"""Health of a running localizer: how its input and output look, and what to do where they look wrong."""

from mail_localization.health.monitor import Health, HealthSettings
from mail_localization.health.status import Level, Status

__all__ = ["Health", "HealthSettings", "Level", "Status"]
