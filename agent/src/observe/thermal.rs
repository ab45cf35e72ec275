//! Reads /sys/class/thermal/thermal_zone*/{type,temp,trip_point_*}; temp is in millidegrees
//! Celsius (Documentation/driver-api/thermal/sysfs-api.rst).
//!
//! EINVAL, EAGAIN and ENODATA are what a driver answers whose sensor sleeps: absent, never 0.

use super::Reading;

/// A thermal zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// For example `thermal_zone0`; the number may differ after a boot.
    pub name: Box<str>,
    /// For example `cpu-thermal`; empty if the driver gave none.
    pub kind: Box<str>,
    /// Its temperature.
    pub temperature_milli_celsius: Reading<i32>,
    /// The lowest `passive` trip point: where the kernel slows down.
    pub passive_milli_celsius: Option<i32>,
    /// The lowest `hot` or `critical` trip point: where the kernel gives up.
    pub critical_milli_celsius: Option<i32>,
}
