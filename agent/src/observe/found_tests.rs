//! What is found in a tree of files, and that a thread reads it.

#![expect(
    clippy::disallowed_methods,
    reason = "tests arrange the files that Root then reads"
)]

use std::path::Path;

use nodling_protocol::units::Unit;
use tempfile::TempDir;

use super::*;

const HWMON: &[(&str, &str)] = &[
    ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
    ("sys/class/hwmon/hwmon0/name", "cpu_thermal\n"),
    ("sys/class/hwmon/hwmon0/temp1_input", "48312\n"),
    ("sys/class/hwmon/hwmon1/name", "rpi_volt\n"),
    ("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n"),
    ("sys/class/hwmon/hwmon2/name", "nvme\n"),
    ("sys/class/hwmon/hwmon2/temp1_input", "37850\n"),
    ("sys/class/hwmon/hwmon2/temp1_label", "Composite\n"),
    ("sys/class/hwmon/hwmon10/name", "nvme\n"),
    ("sys/class/hwmon/hwmon10/temp1_input", "41850\n"),
    ("sys/class/hwmon/hwmon10/temp1_label", "Composite\n"),
    ("sys/class/hwmon/hwmon3/name", "ina3221\n"),
    ("sys/class/hwmon/hwmon3/in1_input", "5012\n"),
    ("sys/class/hwmon/hwmon3/in1_label", "VDD IN\n"),
    ("sys/class/hwmon/hwmon3/curr1_input", "312\n"),
    ("sys/class/hwmon/hwmon3/curr1_label", "VDD IN\n"),
    ("sys/class/hwmon/hwmon3/power1_input", "1563744\n"),
    ("sys/class/hwmon/hwmon3/fan1_input", "3120\n"),
];

const OTHERS: &[(&str, &str)] = &[
    ("sys/bus/iio/devices/iio:device0/name", "bme280\n"),
    ("sys/bus/iio/devices/iio:device0/in_temp_input", "21440\n"),
    (
        "sys/bus/iio/devices/iio:device0/in_pressure_input",
        "101.325000000\n",
    ),
    (
        "sys/bus/iio/devices/iio:device0/in_humidityrelative_input",
        "45123\n",
    ),
    (
        "sys/bus/iio/devices/iio:device0/in_temp_oversampling_ratio",
        "2\n",
    ),
    ("sys/bus/iio/devices/iio:device1/name", "ads1015\n"),
    ("sys/bus/iio/devices/iio:device1/in_voltage0_raw", "1100\n"),
    (
        "sys/bus/iio/devices/iio:device1/in_voltage0_scale",
        "3.000000000\n",
    ),
    ("sys/bus/iio/devices/iio:device1/in_voltage1_raw", "-2\n"),
    (
        "sys/bus/iio/devices/iio:device1/in_voltage_scale",
        "0.125\n",
    ),
    ("sys/bus/iio/devices/iio:device2/name", "scd4x\n"),
    (
        "sys/bus/iio/devices/iio:device2/in_concentration_co2_raw",
        "612\n",
    ),
    (
        "sys/bus/iio/devices/iio:device2/in_concentration_co2_scale",
        "0.000100000\n",
    ),
    ("sys/bus/iio/devices/iio:device2/in_temp_raw", "26215\n"),
    (
        "sys/bus/iio/devices/iio:device2/in_temp_scale",
        "2.670288085\n",
    ),
    ("sys/bus/iio/devices/iio:device2/in_temp_offset", "-16852\n"),
    ("sys/class/power_supply/battery/capacity", "87\n"),
    ("sys/class/power_supply/battery/voltage_now", "4012500\n"),
    ("sys/class/power_supply/battery/current_now", "-350000\n"),
    ("sys/class/power_supply/battery/temp", "253\n"),
    ("sys/class/power_supply/hidpp_battery_0/scope", "Device\n"),
    ("sys/class/power_supply/hidpp_battery_0/capacity", "50\n"),
    ("sys/class/power_supply/usb/online", "1\n"),
    (
        "proc/net/wireless",
        " face | x |\n wlan0: 0000   54.  -56.  -256        0\n",
    ),
    ("sys/bus/w1/devices/28-0316a279f1ff/temperature", "21437\n"),
    (
        "sys/bus/w1/devices/28-0316a279f200/w1_slave",
        "50 : crc=1c YES\n50 t=-1062\n",
    ),
    (
        "sys/bus/w1/devices/w1_bus_master1/w1_master_name",
        "w1_bus_master1\n",
    ),
];

fn write(root: &Path, file: &str, text: &str) {
    let file = root.join(file);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

/// A board that is no fixture: its files are read by threads.
fn board() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in HWMON.iter().chain(OTHERS) {
        write(directory.path(), file, text);
    }
    directory
}

/// Everything on the board, once all of it was read.
fn settled(root: &mut Root, found: &mut Found) -> Vec<Named> {
    let lists = find(root);
    let mut named = found.read(root, &lists);
    while !named.iter().all(Named::is_settled) {
        std::thread::yield_now();
        named = found.read(root, &lists);
    }
    named
}

const EXPECTED: &[(&str, Unit, i8, i32)] = &[
    ("nvme.composite", Unit::Celsius, -1, 379),
    ("ina3221.fan1", Unit::RevolutionsPerMinute, 0, 3_120),
    ("ina3221.in1", Unit::Volt, -3, 5_012),
    ("ina3221.curr1", Unit::Ampere, -3, 312),
    ("ina3221.power1", Unit::Watt, -3, 1_564),
    ("nvme.composite/2", Unit::Celsius, -1, 419),
    ("bme280.temperature", Unit::Celsius, -2, 2_144),
    ("bme280.humidity", Unit::Percent, -1, 451),
    ("bme280.pressure", Unit::Pascal, 0, 101_325),
    ("ads1015.voltage0", Unit::Volt, -3, 3_300),
    ("ads1015.voltage1", Unit::Volt, -3, 0),
    ("scd4x.temperature", Unit::Celsius, -2, 2_500),
    ("scd4x.co2", Unit::PartsPerMillion, 0, 612),
    ("battery.charge", Unit::Percent, 0, 87),
    ("battery.voltage", Unit::Volt, -3, 4_013),
    ("battery.current", Unit::Ampere, -3, -350),
    ("battery.temperature", Unit::Celsius, -1, 253),
    ("usb.online", Unit::None, 0, 1),
    ("wlan0.signal", Unit::DecibelMilliwatt, 0, -56),
    ("28-0316a279f1ff.temperature", Unit::Celsius, -2, 2_143),
    ("28-0316a279f200.temperature", Unit::Celsius, -2, -106),
];

#[test]
fn every_subsystem_is_found_and_read_in_its_unit() {
    let directory = board();
    let mut root = Root::open(directory.path()).unwrap();
    let named = settled(&mut root, &mut Found::default());
    let shown: Vec<_> = named
        .iter()
        .map(|named| {
            let value = named.reading.clone().unwrap().unwrap();
            (&*named.name, named.unit, named.exponent, value)
        })
        .collect();
    assert_eq!(shown, EXPECTED);
}

#[test]
fn a_file_that_is_wrong_fails_its_own_reading() {
    let directory = board();
    let fan = "sys/class/hwmon/hwmon3/fan1_input";
    write(directory.path(), fan, "many\n");
    let mut root = Root::open(directory.path()).unwrap();
    let named = settled(&mut root, &mut Found::default());
    let failed: Vec<_> = named
        .iter()
        .filter(|named| named.reading.is_err())
        .collect();
    let [fan] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    assert_eq!(
        fan.reading.as_ref().unwrap_err().to_string(),
        "sys/class/hwmon/hwmon3/fan1_input:1: expected a decimal number"
    );
}

#[test]
fn what_is_plugged_in_later_is_found_and_what_is_gone_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut root = Root::open(directory.path()).unwrap();
    let mut found = Found::default();
    assert!(settled(&mut root, &mut found).is_empty());
    assert!(found.prompt.is_none() && found.slow.is_none(), "no thread");
    let thermometer = "sys/bus/w1/devices/28-0316a279f1ff/temperature";
    write(directory.path(), thermometer, "21437\n");
    let named = settled(&mut root, &mut found);
    assert_eq!(named[0].reading, Ok(Some(2_143)));
    assert!(found.prompt.is_none() && found.slow.is_some());
    std::fs::remove_dir_all(directory.path().join("sys/bus/w1")).unwrap();
    assert!(settled(&mut root, &mut found).is_empty());
    assert!(found.slow.is_none());
}

#[test]
fn a_thread_that_could_not_be_started_is_started_later() {
    let directory = board();
    let mut root = Root::open(directory.path()).unwrap();
    let lists = find(&mut root);
    let refused = |list: &Arc<[Known]>| Reader {
        list: Arc::clone(list),
        latest: Shared::new(Vec::new()),
        background: Err(Errno(libc::EAGAIN)),
    };
    let mut found = Found {
        prompt: Some(refused(&lists.prompt)),
        slow: Some(refused(&lists.slow)),
    };
    let named = settled(&mut root, &mut found);
    assert_eq!(named.len(), EXPECTED.len());
    assert!(named.iter().all(|named| named.reading.is_ok()), "{named:?}");
}

#[test]
fn a_reading_that_nobody_renews_is_stale_with_its_age() {
    let directory = board();
    let mut root = Root::open(directory.path()).unwrap();
    let mut found = Found::default();
    settled(&mut root, &mut found);
    let reader = found.slow.unwrap();
    let later_ms = root.syscalls().uptime_ms() + PATIENCE_MS + 5_000;
    let late = reader.named(later_ms).swap_remove(0);
    let Err(ReadError::Stale { age_s, .. }) = late.reading else {
        panic!("{late:?}");
    };
    assert!((35..=40).contains(&age_s), "{age_s}");
}

#[test]
fn a_driver_without_a_value_has_none_and_one_that_refuses_fails() {
    let refused = |errno| {
        Err(ReadError::Refused {
            path: "x".into(),
            cause: Errno(errno),
        })
    };
    for errno in [libc::EINVAL, libc::EAGAIN, libc::ENODATA] {
        assert_eq!(awake(refused(errno)), Ok(None));
    }
    assert_eq!(awake(refused(libc::EIO)), refused(libc::EIO));
    assert_eq!(awake(Ok(Some(0))), Ok(Some(0)), "a fan may stand");
}

#[test]
fn twins_are_numbered() {
    let known = Known {
        name: "x".into(),
        unit: Unit::None,
        exponent: 0,
        path: "x".into(),
        source: Source::Number { scale: 0 },
    };
    let mut list = vec![known; 3];
    number_twins(&mut list);
    let names: Vec<_> = list.iter().map(|known| known.name.as_str()).collect();
    assert_eq!(names, ["x", "x/2", "x/3"]);
}
