"""Where the sun stands."""

from __future__ import annotations

import math

# Unix second of 1 January 2000, 12:00 UTC (J2000.0).
J2000 = 946_728_000


def elevation(latitude: float, longitude: float, second: float) -> float:
    """The sun's height over the horizon in degrees, without refraction.

    After the NOAA Solar Calculator (https://gml.noaa.gov/grad/solcalc/solareqns.PDF and its spreadsheet), whose
    equations are those of Meeus, *Astronomical Algorithms*, chapter 25; within 0.02° from 1950 to 2050.

    Args:
        latitude, longitude: in degrees, north and east positive.
        second: Unix time.
    """
    century = (second - J2000) / (86_400 * 36_525)
    mean_longitude = math.radians((280.46646 + century * (36_000.76983 + century * 0.0003032)) % 360)
    anomaly = math.radians(357.52911 + century * (35_999.05029 - 0.0001537 * century))
    eccentricity = 0.016708634 - century * (0.000042037 + 0.0000001267 * century)
    centre = (
        math.sin(anomaly) * (1.914602 - century * (0.004817 + 0.000014 * century))
        + math.sin(2 * anomaly) * (0.019993 - 0.000101 * century)
        + math.sin(3 * anomaly) * 0.000289
    )
    node = math.radians(125.04 - 1934.136 * century)
    longitude_seen = mean_longitude + math.radians(centre - 0.00569 - 0.00478 * math.sin(node))
    seconds = 21.448 - century * (46.8150 + century * (0.00059 - century * 0.001813))
    obliquity = math.radians(23 + (26 + seconds / 60) / 60 + 0.00256 * math.cos(node))
    declination = math.asin(math.sin(obliquity) * math.sin(longitude_seen))
    y = math.tan(obliquity / 2) ** 2
    minutes = 4 * math.degrees(
        y * math.sin(2 * mean_longitude)
        - 2 * eccentricity * math.sin(anomaly)
        + 4 * eccentricity * y * math.sin(anomaly) * math.cos(2 * mean_longitude)
        - 0.5 * y * y * math.sin(4 * mean_longitude)
        - 1.25 * eccentricity**2 * math.sin(2 * anomaly)
    )
    solar_minutes = (second / 60 + minutes + 4 * longitude) % 1440
    hour_angle = math.radians(solar_minutes / 4 - 180)
    north = math.radians(latitude)
    height = math.sin(north) * math.sin(declination)
    height += math.cos(north) * math.cos(declination) * math.cos(hour_angle)
    return math.degrees(math.asin(max(-1.0, min(1.0, height))))
