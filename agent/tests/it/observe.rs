//! What each fixture shows, and that one broken file breaks its own reading only.

use std::os::unix::fs::symlink;
use std::sync::{Arc, OnceLock};

use nodling_agent::assess::unread;
use nodling_agent::observe::root::Root;
use nodling_agent::observe::{Config, Detail, Observation, Observer, ReadError};
use nodling_boards::Profile;
use procfs::{FromBufRead, FromRead};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{self, Breakage, Fixture, all_fixtures, fixture, observe};

#[test]
fn every_fixture_is_observed_as_recorded() {
    for fixture in all_fixtures() {
        let name = format!("{}--{}", fixture.board, fixture.scenario);
        let mut observation = observe(&fixture.path);
        // Its facts stand in `boards/`; that it is the right one is the next test's.
        Arc::make_mut(&mut observation.fixed).profile = Profile::default();
        insta::assert_debug_snapshot!(name, observation);
    }
}

#[test]
fn every_board_has_a_fixture_and_every_fixture_is_detected_as_its_board() {
    for (board, _) in nodling_boards::ALL {
        assert!(
            all_fixtures().iter().any(|fixture| fixture.board == *board),
            "{board}"
        );
    }
    for fixture in all_fixtures() {
        let profile = &observe(&fixture.path).fixed.profile;
        assert_eq!(profile.name, fixture.board, "{}", fixture.name());
    }
}

#[test]
fn every_fixture_has_a_page_size_and_an_architecture_of_its_board() {
    for fixture in all_fixtures() {
        let fixed = observe(&fixture.path).fixed;
        if let Some(known) = &fixed.profile.page_sizes_bytes {
            let page_bytes = u32::try_from(fixed.page_size_bytes).unwrap();
            assert!(known.value.contains(&page_bytes), "{}", fixture.name());
        }
        let cpu = match fixed.host.architecture.as_ref() {
            "arm64" => "aarch64-",
            "amd64" => "x86_64-",
            "riscv64" => "riscv64gc-",
            architecture => architecture,
        };
        let mut targets = fixed.profile.targets.iter();
        assert!(
            targets.any(|target| target.starts_with(cpu)),
            "{}",
            fixture.name()
        );
    }
}

#[test]
fn every_fixture_says_where_it_comes_from() {
    for fixture in all_fixtures() {
        let source = support::read(&fixture.path, "SOURCE").unwrap_or_default();
        let source = String::from_utf8(source).unwrap();
        let first = source.lines().next().unwrap_or_default();
        let is_known = ["captured", "emulated", "reconstructed"].contains(&first);
        assert!(
            is_known && source.lines().count() > 2,
            "{}: {first}",
            fixture.name()
        );
    }
}

/// The subjects of an observation, each as text.
fn subjects(observation: &Observation) -> Vec<(&'static str, String)> {
    let Observation {
        uptime_ms,
        fixed,
        links,
        storage,
        cpu,
        load,
        pid_max,
        threads_max,
        memory,
        memory_cgroup,
        vmstat,
        root_usage,
        filesystems,
        disks,
        interfaces,
        pressure,
        thermal,
        frequency,
        power,
        clock,
        container_runtime,
        sensors,
        found,
    } = observation;
    let media: Vec<_> = fixed.media.iter().flatten().flatten().collect();
    let numbers: Vec<_> = media.iter().map(|medium| &medium.device).collect();
    let kinds: Vec<_> = media.iter().map(|medium| &medium.kind).collect();
    vec![
        ("uptime", format!("{uptime_ms:?}")),
        ("host", format!("{:?}", fixed.host)),
        ("board", format!("{:?}{:?}", fixed.board, fixed.profile)),
        ("processors", format!("{:?}", fixed.processors)),
        ("huge pages", format!("{:?}", fixed.huge_pages)),
        ("fstab", format!("{:?}", fixed.fstab)),
        ("psi argument", format!("{:?}", fixed.psi_argument)),
        ("pid max", format!("{pid_max:?}")),
        ("threads max", format!("{threads_max:?}")),
        ("page size", format!("{:?}", fixed.page_size_bytes)),
        ("devices", format!("{:?}", fixed.devices)),
        ("links", format!("{:?}{:?}", links.links, links.unknown)),
        ("addresses", format!("{:?}", links.addresses)),
        ("route v4", format!("{:?}", links.routes.v4)),
        ("route v6", format!("{:?}", links.routes.v6)),
        // The same files say by which numbers, and of which kind, the media are.
        ("ext4", format!("{:?}{:?}", storage.ext4, numbers)),
        ("emmc", format!("{:?}{:?}", storage.emmc, kinds)),
        ("cpu", format!("{cpu:?}")),
        ("load", format!("{load:?}")),
        ("memory", format!("{memory:?}")),
        ("memory cgroup", format!("{memory_cgroup:?}")),
        ("vmstat", format!("{vmstat:?}")),
        ("root usage", format!("{root_usage:?}")),
        ("filesystems", format!("{filesystems:?}")),
        ("disks", format!("{disks:?}")),
        ("interfaces", format!("{interfaces:?}")),
        ("cpu pressure", format!("{:?}", pressure.cpu)),
        ("memory pressure", format!("{:?}", pressure.memory)),
        ("io pressure", format!("{:?}", pressure.io)),
        ("thermal", format!("{thermal:?}")),
        ("frequency", format!("{frequency:?}")),
        ("throttled", format!("{:?}", power.throttled)),
        (
            "under-voltage alarm",
            format!("{:?}", power.is_under_voltage_alarm),
        ),
        ("clock", format!("{clock:?}")),
        ("container runtime", container_runtime.to_string()),
        ("sensors", format!("{sensors:?}")),
        ("found", format!("{found:?}")),
    ]
}

/// The one subject that a file belongs to; `None` for files that only people read.
fn subject_of(fixture: &Fixture, file: &str) -> Option<&'static str> {
    const SUBJECTS: &[(&str, &str)] = &[
        ("etc/fstab", "fstab"),
        ("proc/cmdline", "psi argument"),
        ("proc/device-tree/", "board"),
        ("proc/diskstats", "disks"),
        ("proc/loadavg", "load"),
        ("proc/meminfo", "memory"),
        ("proc/net/dev", "interfaces"),
        ("proc/net/ipv6_route", "route v6"),
        ("proc/net/route", "route v4"),
        ("proc/pressure/cpu", "cpu pressure"),
        ("proc/pressure/io", "io pressure"),
        ("proc/pressure/memory", "memory pressure"),
        ("proc/self/mountinfo", "filesystems"),
        ("proc/stat", "cpu"),
        ("proc/sys/kernel/pid_max", "pid max"),
        ("proc/sys/kernel/random/boot_id", "host"),
        ("proc/sys/kernel/threads-max", "threads max"),
        ("proc/vmstat", "vmstat"),
        ("sys/class/dmi/id/", "board"),
        ("sys/class/thermal/", "thermal"),
        ("sys/devices/system/cpu/cpufreq/", "frequency"),
        ("sys/devices/system/cpu/online", "processors"),
        ("sys/fs/cgroup/memory.stat", "memory cgroup"),
        ("sys/fs/cgroup/memory/", "memory cgroup"),
        ("sys/kernel/mm/hugepages/", "huge pages"),
        ("etc/machine-id", "host"),
        ("etc/os-release", "host"),
        ("sys/fs/ext4/", "ext4"),
        ("sys/class/block/", "ext4"),
        ("sys/block/", "emmc"),
        ("sys/class/tty/ttyS0/type", "devices"),
        ("sys/class/tty/ttyS1/type", "devices"),
        ("sys/class/rtc/", "clock chip"),
        ("sys/class/watchdog/", "watchdog"),
    ];
    let is_of_link = file.starts_with("sys/class/net/") && !file.contains("/device/");
    if is_of_link {
        return Some("links");
    }
    if file.ends_with("/get_throttled") {
        return Some("throttled");
    }
    if let Some((chip, _)) = file.rsplit_once('/').filter(|_| file.starts_with(HWMON)) {
        // Numbers of chips differ from boot to boot; only the supply's is read so far.
        let name = support::read(&fixture.path, &format!("{chip}/name")).unwrap_or_default();
        return (name == b"rpi_volt\n").then_some("under-voltage alarm");
    }
    SUBJECTS
        .iter()
        .find(|(prefix, _)| file.starts_with(prefix))
        .map(|(_, subject)| *subject)
}

const HWMON: &str = "sys/class/hwmon/";

#[test]
fn one_broken_file_breaks_its_own_subject_and_no_other() {
    for fixture in all_fixtures() {
        let sound = subjects(&observe(&fixture.path));
        let copy = fixture.copy();
        for file in fixture.new_files() {
            for breakage in Breakage::ALL {
                breakage.apply(&copy.path().join(&file));
                let broken = subjects(&observe(copy.path()));
                fixture.restore(copy.path(), &file);
                let changed: Vec<_> = sound
                    .iter()
                    .zip(&broken)
                    .filter(|(before, after)| before != after)
                    .collect();
                let context = format!("{}: {file} {breakage:?}: {changed:#?}", fixture.name());
                let subject = subject_of(&fixture, &file);
                assert!(
                    is_expected((&file, subject), breakage, &sound, &changed),
                    "{context}"
                );
            }
        }
        assert_eq!(
            subjects(&observe(copy.path())),
            sound,
            "the copy was not restored"
        );
    }
}

type Subject = (&'static str, String);

/// Whether a breakage changed what it should have, and nothing else.
fn is_expected(
    (file, subject): (&str, Option<&str>),
    breakage: Breakage,
    sound: &[Subject],
    changed: &[(&Subject, &Subject)],
) -> bool {
    let is_read = |subject: &&str| sound.iter().any(|(known, _)| known == subject);
    let Some(subject) = subject.filter(is_read) else {
        // Files for people, and those whose being there is what counts.
        let minor = ["links", "clock", "memory cgroup", "found"];
        return changed
            .iter()
            .all(|((subject, _), _)| minor.contains(subject));
    };
    let was_absent = sound
        .iter()
        .any(|(known, text)| *known == subject && text == "Ok(None)");
    let may_be_unchanged = was_absent
        // /proc/stat lists the processors too.
        || subject == "processors"
        // Of several trip points of a kind the lowest is kept.
        || file.contains("/trip_point_")
        // The last error is looked at where one was counted.
        || file.contains("/last_error_")
        // An empty table is a table, and half a text may hold all that is read.
        || (breakage == Breakage::Emptied && ["route v6", "disks"].contains(&subject))
        || breakage == Breakage::Truncated;
    // A thermal zone is mirrored among the found ones, and left out there by its kind.
    let is_mirror = |changed: &str| subject == "thermal" && changed == "found";
    changed
        .iter()
        .all(|((changed, _), _)| *changed == subject || is_mirror(changed))
        && (may_be_unchanged || !changed.is_empty())
}

#[test]
fn one_broken_device_leaves_the_others_of_its_kind() {
    let copy = fixture("raspberry-pi-cm4/emmc-worn").copy();
    let sound = observe(copy.path());
    let of_card = "sys/block/mmcblk7/device/type";
    support::write(copy.path(), of_card, [0xff, b'\n']);
    let flags = "sys/class/net/zzz0/flags";
    support::write(copy.path(), flags, "up\n");
    let broken = observe(copy.path());
    let wear = |observation: &Observation| observation.storage.emmc.clone().unwrap().unwrap();
    let (before, after) = (wear(&sound), wear(&broken));
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(broken.links.links, sound.links.links);
    let unread = unread::unread(&broken);
    for (name, file) in [("emmc/mmcblk7", of_card), ("links/zzz0", flags)] {
        let told = unread.iter().find(|(of, _)| *of == name).expect(name);
        assert!(told.1.to_string().contains(file), "{}", told.1);
    }
}

#[test]
fn what_fails_names_its_file() {
    let copy = fixture("raspberry-pi-4b/undervoltage-hot").copy();
    let temperature = "sys/class/thermal/thermal_zone0/temp";
    support::write(copy.path(), "proc/meminfo", "MemTotal: 0 kB\nMemFree: x\n");
    support::write(copy.path(), temperature, "-274000\n");
    Breakage::Unreadable.apply(&copy.path().join("proc/stat"));
    let observation = observe(copy.path());
    let texts = [
        observation.memory.unwrap_err().to_string(),
        observation.thermal.unwrap().unwrap()[0]
            .temperature_milli_celsius
            .clone()
            .unwrap_err()
            .to_string(),
    ];
    assert_eq!(
        texts,
        [
            "proc/meminfo:2: expected a number".to_owned(),
            format!("{temperature}:1: a temperature that nothing survives"),
        ]
    );
    let Err(ReadError::Refused { path, cause }) = observation.cpu else {
        panic!("{:?}", observation.cpu);
    };
    assert_eq!(
        (&*path, cause.to_string().contains("directory")),
        ("proc/stat", true)
    );
}

#[test]
fn a_fixture_never_shows_the_machine_that_runs_the_test() {
    let directory = tempfile::tempdir().unwrap();
    let syscalls = "uptime_ms = 5\nwall_unix_s = 6\npage_size_bytes = 16384\n\
        architecture = \"arm\"\n[uname]\nnodename = \"n\"\nrelease = \"r\"\nmachine = \"armv7l\"\n";
    support::write(directory.path(), "syscalls.toml", syscalls);
    // Links out of the tree, and above it, stay in the tree.
    std::fs::create_dir(directory.path().join("proc")).unwrap();
    symlink(
        "/sys/firmware/devicetree/base",
        directory.path().join("proc/device-tree"),
    )
    .unwrap();
    symlink("/proc/meminfo", directory.path().join("proc/meminfo")).unwrap();
    symlink(
        "../../../../../../../../proc/stat",
        directory.path().join("proc/stat"),
    )
    .unwrap();
    support::write(
        directory.path(),
        "sys/firmware/devicetree/base/model",
        "Inside\0",
    );
    let observation = observe(directory.path());
    assert_eq!(observation.fixed.board.model, Ok(Some("Inside".into())));
    assert_eq!(
        (observation.uptime_ms, observation.clock.wall_unix_s),
        (5, 6)
    );
    assert_eq!(observation.fixed.page_size_bytes, 16384);
    assert_eq!(observation.links.addresses, Ok(Some(vec![])));
    assert_eq!(observation.root_usage, Ok(None));
    assert_eq!(observation.clock.timex, Ok(None));
    // A link to itself is the kernel's ELOOP, not this machine's file.
    assert!(
        !matches!(observation.memory, Ok(Some(_))),
        "{:?}",
        observation.memory
    );
    assert!(
        !matches!(observation.cpu, Ok(Some(_))),
        "{:?}",
        observation.cpu
    );
}

#[test]
fn an_empty_root_is_all_absent() {
    let directory = tempfile::tempdir().unwrap();
    let observation = observe(directory.path());
    assert_eq!(observation.cpu, Ok(None));
    assert_eq!(observation.memory, Ok(None));
    assert_eq!(observation.thermal, Ok(None));
    assert_eq!(observation.pressure.memory, Ok(None));
    assert_eq!(observation.fixed.host.machine_id, Ok(None));
    assert!(observation.fixed.profile.name.starts_with("generic"));
}

#[test]
fn a_fixture_with_a_wrong_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    support::write(directory.path(), "syscalls.toml", "uptime = 5\n");
    let err = Root::open(directory.path()).unwrap_err();
    assert!(err.to_string().ends_with("syscalls.toml"), "{err}");
    assert!(Root::open("/no/such/directory").is_err());
}

#[test]
fn what_is_read_rarely_is_read_again_when_asked_for() {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    let mut observer = Observer::new(Root::open(copy.path()).unwrap(), Config::default());
    let route = |observation: &Observation| {
        let routes = observation.links.routes.v4.clone();
        routes.map(|routes| Some(routes?.first()?.interface.clone()))
    };
    assert_eq!(
        route(&observer.observe(Detail::Dropped)),
        Ok(Some("eth0".into()))
    );
    let table = support::read(copy.path(), "proc/net/route").unwrap();
    let table = String::from_utf8(table).unwrap().replace("eth0", "usb0");
    support::write(copy.path(), "proc/net/route", table);
    assert_eq!(
        route(&observer.observe(Detail::Dropped)),
        Ok(Some("eth0".into()))
    );
    observer.refresh();
    assert_eq!(
        route(&observer.observe(Detail::Dropped)),
        Ok(Some("usb0".into()))
    );
}

#[test]
fn detail_is_kept_only_when_asked_for() {
    let root = Root::open(&fixture("raspberry-pi-4b/idle").path).unwrap();
    let mut observer = Observer::new(root, Config::default());
    let brief = observer.observe(Detail::Dropped);
    assert_eq!(
        (brief.cpu.unwrap().unwrap().cores.len(), brief.vmstat),
        (0, Ok(None))
    );
    let full = observer.observe(Detail::Kept);
    assert_eq!(full.cpu.unwrap().unwrap().cores.len(), 4);
    assert!(matches!(full.vmstat, Ok(Some(_))));
}

#[test]
fn a_shutdown_is_told_from_a_start() {
    let copy = fixture("raspberry-pi-4b/idle").copy();
    let mut observer = Observer::new(Root::open(copy.path()).unwrap(), Config::default());
    assert!(!observer.is_shutting_down());
    support::write(
        copy.path(),
        "run/nologin",
        "System is booting up. Unprivileged users …\n",
    );
    assert!(!observer.is_shutting_down());
    support::write(
        copy.path(),
        "run/nologin",
        "System is going down. Unprivileged users …\n",
    );
    assert!(observer.is_shutting_down());
    std::fs::remove_file(copy.path().join("run/nologin")).unwrap();
    support::write(copy.path(), "run/systemd/shutdown/scheduled", "USEC=1\n");
    assert!(observer.is_shutting_down());
}

#[test]
fn this_machine_has_memory_processors_and_a_root() {
    let mut observer = Observer::new(Root::open("/").unwrap(), Config::default());
    let first = observer.observe(Detail::Kept);
    let second = observer.observe(Detail::Dropped);
    assert!(first.memory.unwrap().unwrap().total_kib > 0);
    let processors = first.fixed.processors.clone().unwrap().unwrap();
    assert!(processors.online > 0);
    assert!(first.root_usage.unwrap().unwrap().capacity_bytes > 0);
    assert!(second.uptime_ms >= first.uptime_ms && first.uptime_ms > 0);
    assert!(first.fixed.page_size_bytes.is_power_of_two());
    assert!(!first.fixed.host.kernel_release.is_empty());
    assert_eq!(first.fixed, second.fixed);
}

/// `procfs`, an independent parser, reads the same numbers.
#[test]
fn procfs_reads_the_same_memory_and_load() {
    for fixture in all_fixtures() {
        let observation = observe(&fixture.path);
        let context = fixture.name();

        let theirs = support::read(&fixture.path, "proc/meminfo").unwrap();
        let theirs = procfs::Meminfo::from_buf_read(theirs.as_slice()).unwrap();
        let ours = observation.memory.unwrap().unwrap();
        assert_eq!(ours.total_kib * 1024, theirs.mem_total, "{context}");
        assert_eq!(
            ours.available_kib.map(|kib| kib * 1024),
            theirs.mem_available,
            "{context}"
        );
        assert_eq!(
            ours.inactive_file_kib.map(|kib| kib * 1024),
            theirs.inactive_file,
            "{context}"
        );
        assert_eq!(
            ours.swap_free_kib.unwrap() * 1024,
            theirs.swap_free,
            "{context}"
        );

        let theirs = support::read(&fixture.path, "proc/loadavg").unwrap();
        let theirs = procfs::LoadAverage::from_read(theirs.as_slice()).unwrap();
        let ours = observation.load.unwrap().unwrap();
        assert_eq!(
            format!("{:.2}", theirs.fifteen),
            hundredths(ours.fifteen_minutes_hundredths)
        );
        assert_eq!(
            (ours.runnable, ours.threads),
            (theirs.cur, theirs.max),
            "{context}"
        );
    }
}

#[test]
fn procfs_reads_the_same_interfaces_and_disks() {
    for fixture in all_fixtures() {
        let observation = observe(&fixture.path);
        let context = fixture.name();

        let theirs = support::read(&fixture.path, "proc/net/dev").unwrap();
        let theirs = procfs::net::InterfaceDeviceStatus::from_buf_read(theirs.as_slice());
        let theirs = theirs.unwrap().0;
        let ours = observation.interfaces.unwrap().unwrap();
        assert_eq!(ours.len(), theirs.len(), "{context}");
        for ours in ours {
            let theirs = &theirs[&*ours.name];
            let theirs = [
                theirs.recv_bytes,
                theirs.recv_drop,
                theirs.sent_bytes,
                theirs.sent_errs,
            ];
            let ours = [
                ours.received_bytes,
                ours.received_drops,
                ours.sent_bytes,
                ours.sent_errors,
            ];
            assert_eq!(ours, theirs, "{context}");
        }

        let theirs = support::read(&fixture.path, "proc/diskstats").unwrap();
        let theirs = procfs::DiskStats::from_buf_read(theirs.as_slice())
            .unwrap()
            .0;
        for ours in observation.disks.unwrap().unwrap() {
            let theirs = theirs
                .iter()
                .find(|theirs| *theirs.name == *ours.name)
                .unwrap();
            assert_eq!(
                ours.written_bytes,
                theirs.sectors_written * 512,
                "{context}"
            );
            assert_eq!(ours.io_ms, theirs.time_in_progress, "{context}");
        }
    }
}

#[test]
fn procfs_reads_the_same_pressure() {
    let fixture = fixture("raspberry-pi-4b/undervoltage-hot");
    let theirs = support::read(&fixture.path, "proc/pressure/memory").unwrap();
    let theirs = procfs::MemoryPressure::from_buf_read(theirs.as_slice()).unwrap();
    let ours = observe(&fixture.path).pressure.memory.unwrap().unwrap();
    let (some, full) = (ours.some, ours.full.unwrap());
    assert_eq!(
        format!("{:.2}", theirs.some.avg10),
        hundredths(some.avg10_hundredths.into())
    );
    assert_eq!(
        format!("{:.2}", theirs.full.avg300),
        hundredths(full.avg300_hundredths.into())
    );
    assert_eq!(
        (some.total_us, full.total_us),
        (theirs.some.total, theirs.full.total)
    );
}

fn hundredths(value: u32) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

/// Replaces a part of a file, as a driver's bug or a torn read would.
fn damaged(text: &[u8], at: prop::sample::Index, cut: usize, insert: &[u8]) -> Vec<u8> {
    let at = at.index(text.len() + 1);
    let after = (at + cut).min(text.len());
    [&text[..at], insert, &text[after..]].concat()
}

/// The fixtures with a copy of each, which every case restores.
fn copies() -> &'static [(Fixture, TempDir)] {
    static COPIES: OnceLock<Vec<(Fixture, TempDir)>> = OnceLock::new();
    COPIES.get_or_init(support::copies)
}

proptest! {
    #[test]
    fn any_bytes_in_any_file_are_observed(
        fixture in any::<prop::sample::Index>(),
        file in any::<prop::sample::Index>(),
        text in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        cut in 0_usize..40,
        insert in "[-0-9a-z:/. \\n]{0,24}",
    ) {
        let (fixture, copy) = fixture.get(copies());
        let files = fixture.kernel_files();
        let file = file.get(&files);
        let sound = support::read(&fixture.path, file).unwrap();
        for text in [text, damaged(&sound, at, cut, insert.as_bytes())] {
            support::write(copy.path(), file, text);
            let _ = observe(copy.path());
        }
        fixture.restore(copy.path(), file);
    }
}
