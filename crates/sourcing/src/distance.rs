//! Great-circle distances, the same on every machine: `libm` in software, no platform's own sine.

use consign_domain::catalogue::Position;

/// Mean radius of the earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;

/// A point on the unit sphere, made once per location, so that a distance is a few multiplications.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    x: f64,
    y: f64,
    z: f64,
}

impl Place {
    /// The point at a position.
    #[must_use]
    pub fn of(position: Position) -> Place {
        let radians = |millionths: i32| f64::from(millionths) / 1e6 * core::f64::consts::PI / 180.0;
        let (latitude, longitude) = (
            radians(position.latitude_e6),
            radians(position.longitude_e6),
        );
        let around = libm::cos(latitude);
        Place {
            x: around * libm::cos(longitude),
            y: around * libm::sin(longitude),
            z: libm::sin(latitude),
        }
    }

    /// Kilometres to another place along the great circle, rounded: `2R·asin(chord / 2)`.
    #[must_use]
    pub fn km_to(&self, other: &Place) -> u32 {
        let (dx, dy, dz) = (self.x - other.x, self.y - other.y, self.z - other.z);
        let half_chord = libm::sqrt(dx * dx + dy * dy + dz * dz) / 2.0;
        let km = 2.0 * EARTH_RADIUS_KM * libm::asin(half_chord.min(1.0));
        // At most half the circumference, about 20,015.
        libm::round(km) as u32
    }
}

/// Kilometres between two positions along the great circle, rounded.
#[must_use]
pub fn distance_km(a: Position, b: Position) -> u32 {
    Place::of(a).km_to(&Place::of(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Position {
        Position {
            latitude_e6: (latitude * 1e6) as i32,
            longitude_e6: (longitude * 1e6) as i32,
        }
    }

    #[test]
    fn known_distances() {
        let (london, paris, sydney) = (
            at(51.5074, -0.1278),
            at(48.8566, 2.3522),
            at(-33.8688, 151.2093),
        );
        assert_eq!(distance_km(london, paris), 344);
        assert_eq!(distance_km(london, sydney), 16_994);
        assert_eq!(distance_km(london, london), 0);
        assert_eq!(distance_km(at(0.0, 0.0), at(0.0, 180.0)), 20_015);
    }
}
