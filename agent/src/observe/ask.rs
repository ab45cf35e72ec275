//! Asks statvfs(2) of filesystems that may never answer: a server elsewhere, or a program, has the
//! answer, and when it is gone the kernel waits for as long as the mount's options say.
//!
//! Each such mount has a thread of its own, so that one which hangs keeps no other from answering,
//! and at most one question: nobody is asked again who has not answered. The loop waits for a few
//! milliseconds, and not at all for one that owes an answer already. No such mount, no thread.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{debug, info, warn};

use super::root::Root;
use super::sys::{Statvfs, present};
use super::{Errno, ReadError, Reading};

/// Threads, those included that hang on a mount which is not looked at any more.
const READERS_MAX: usize = 16;
/// What all answers together may take before the loop goes on without them: a server in the house
/// answers within it, and no beat is late by it.
const PATIENCE_MS: u64 = 50;
/// A server in trouble; before, the answer of a tick ago stands.
const OVERDUE_MS: u64 = 1_000;
/// statvfs and a path's look-up need a fraction of it.
const STACK_BYTES: usize = 64 * 1024;

/// One question to one mount.
type Statfs = Box<dyn Fn() -> Reading<Statvfs> + Send>;

/// The mounts that are asked, each by its thread.
#[derive(Debug)]
pub(super) struct Readers {
    all: Vec<Reader>,
    /// Names no reader twice.
    count: u64,
    answer: SyncSender<Answer>,
    answers: Receiver<Answer>,
}

#[derive(Debug)]
struct Reader {
    number: u64,
    mount_point: Box<str>,
    /// Ends the thread when it is dropped, as soon as the thread does not hang.
    question: SyncSender<()>,
    /// While it owes an answer.
    asked_ms: Option<u64>,
    latest: Reading<Statvfs>,
    is_wanted: bool,
    /// Whether its silence has been logged.
    is_silent: bool,
}

#[derive(Debug)]
struct Answer {
    number: u64,
    reading: Reading<Statvfs>,
}

impl Default for Readers {
    /// Asks nobody yet.
    fn default() -> Self {
        // Room for one answer of each, so that no thread ever waits for us.
        let (answer, answers) = sync_channel(READERS_MAX);
        Self {
            all: Vec::new(),
            count: 0,
            answer,
            answers,
        }
    }
}

impl Readers {
    /// Asks these mounts and no others, and waits a little for what they say.
    pub(super) fn ask<'m>(&mut self, root: &Root, mount_points: impl Iterator<Item = &'m str>) {
        let now_ms = || root.syscalls().uptime_ms();
        let statvfs = |mount_point: &str| -> Option<Statfs> {
            let directory = root.live_directory()?;
            let path: Box<str> = mount_point.into();
            let ask = move || present(directory.statvfs(&path).map(Statvfs::from), &path);
            Some(Box::new(ask))
        };
        self.ask_by(statvfs, now_ms, mount_points);
    }

    /// What a mount said last; failed while it owes an answer for longer than a second.
    pub(super) fn answer(&self, root: &Root, mount_point: &str) -> Reading<Statvfs> {
        self.answer_at(root.syscalls().uptime_ms(), mount_point)
    }

    fn ask_by<'m>(
        &mut self,
        statvfs: impl Fn(&str) -> Option<Statfs>,
        now_ms: impl Fn() -> u64,
        mount_points: impl Iterator<Item = &'m str>,
    ) {
        while let Ok(answer) = self.answers.try_recv() {
            self.take(answer);
        }
        for reader in &mut self.all {
            reader.is_wanted = false;
        }
        let began_ms = now_ms();
        let mut new_count = 0;
        for mount_point in mount_points {
            let is_known = |reader: &Reader| *reader.mount_point == *mount_point;
            if !self.all.iter().any(is_known) {
                self.start(&statvfs, mount_point);
            }
            let reader = self.all.iter_mut().find(|reader| is_known(reader));
            new_count += usize::from(reader.is_some_and(|reader| reader.ask(began_ms)));
        }
        // One that hangs is kept, so that their number has an end whatever is mounted over it.
        self.all
            .retain(|reader| reader.is_wanted || reader.asked_ms.is_some());
        while new_count > 0 {
            let waited_ms = now_ms().saturating_sub(began_ms);
            let left = Duration::from_millis(PATIENCE_MS.saturating_sub(waited_ms));
            match self.answers.recv_timeout(left) {
                Ok(answer) => {
                    self.take(answer);
                    new_count -= 1;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    fn answer_at(&self, now_ms: u64, mount_point: &str) -> Reading<Statvfs> {
        let mut wanted = self.all.iter().filter(|reader| reader.is_wanted);
        let Some(reader) = wanted.find(|reader| *reader.mount_point == *mount_point) else {
            return Err(ReadError::Refused {
                path: mount_point.into(),
                cause: Errno(libc::EAGAIN),
            });
        };
        match reader.owing_ms(now_ms) {
            Some(owing_ms) if owing_ms > OVERDUE_MS => Err(ReadError::Unanswered {
                path: mount_point.into(),
                for_s: owing_ms / 1000,
            }),
            Some(_) | None => reader.latest.clone(),
        }
    }

    /// Starts no thread where the system, or we ourselves, allow no more.
    fn start(&mut self, statvfs: impl Fn(&str) -> Option<Statfs>, mount_point: &str) {
        if self.all.len() >= READERS_MAX {
            return;
        }
        let Some(statvfs) = statvfs(mount_point) else {
            return;
        };
        let (question, questions) = sync_channel(1);
        let number = self.count;
        let answer = self.answer.clone();
        let started = thread::Builder::new()
            .name("statvfs".into())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(number, &statvfs, &questions, &answer));
        if let Err(error) = started {
            debug!(%error, mount_point, "no thread to ask a filesystem");
            return;
        }
        self.count += 1;
        self.all.push(Reader {
            number,
            mount_point: mount_point.into(),
            question,
            asked_ms: None,
            latest: Ok(None),
            is_wanted: true,
            is_silent: false,
        });
    }

    fn take(&mut self, answer: Answer) {
        let mut readers = self.all.iter_mut();
        if let Some(reader) = readers.find(|reader| reader.number == answer.number) {
            reader.asked_ms = None;
            reader.latest = answer.reading;
            if std::mem::take(&mut reader.is_silent) {
                info!(mount_point = %reader.mount_point, "a filesystem answers again");
            }
        }
    }
}

impl Reader {
    /// Whether it was asked, which it is not while it owes an answer.
    fn ask(&mut self, now_ms: u64) -> bool {
        self.is_wanted = true;
        if let Some(owing_ms) = self.owing_ms(now_ms) {
            if owing_ms > OVERDUE_MS && !std::mem::replace(&mut self.is_silent, true) {
                warn!(mount_point = %self.mount_point, "a filesystem does not answer");
            }
            return false;
        }
        if self.question.try_send(()).is_err() {
            return false;
        }
        self.asked_ms = Some(now_ms);
        true
    }

    /// For how long it has owed an answer.
    fn owing_ms(&self, now_ms: u64) -> Option<u64> {
        self.asked_ms.map(|at| now_ms.saturating_sub(at))
    }
}

/// The thread: an answer for every question, until nobody can ask any more.
fn serve(number: u64, statvfs: &Statfs, questions: &Receiver<()>, answers: &SyncSender<Answer>) {
    while questions.recv().is_ok() {
        let reading = statvfs();
        if answers.send(Answer { number, reading }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const SOUND: Statvfs = Statvfs {
        fragment_bytes: 4096,
        blocks: 1000,
        blocks_free: 300,
        blocks_available: 250,
        inodes: 0,
        inodes_free: 0,
    };

    /// A server that answers when it is let.
    struct Server {
        let_go: SyncSender<()>,
        waits: Arc<Mutex<Receiver<()>>>,
    }

    impl Server {
        fn new() -> Self {
            let (let_go, waits) = sync_channel(64);
            let waits = Arc::new(Mutex::new(waits));
            Self { let_go, waits }
        }

        /// `/good` answers at once, all others when the server lets them.
        fn statvfs(&self) -> impl Fn(&str) -> Option<Statfs> {
            let waits = Arc::clone(&self.waits);
            move |mount_point| {
                let is_good = mount_point == "/good";
                let waits = Arc::clone(&waits);
                Some(Box::new(move || {
                    if !is_good {
                        let _ = waits.lock().unwrap().recv();
                    }
                    Ok(Some(SOUND))
                }))
            }
        }
    }

    /// Asks again and again, as the loop does, until it is so.
    fn ask_until(
        readers: &mut Readers,
        server: &Server,
        mount_points: &[&str],
        is_so: impl Fn(&Readers) -> bool,
    ) {
        loop {
            readers.ask_by(server.statvfs(), || 5_000, mount_points.iter().copied());
            if is_so(readers) {
                return;
            }
            let answer = readers.answers.recv_timeout(Duration::from_secs(10));
            readers.take(answer.expect("somebody owes an answer"));
        }
    }

    fn has_answered(readers: &Readers, mount_point: &str) -> bool {
        let answer = readers.answer_at(5_000, mount_point);
        answer.is_ok_and(|answer| answer.is_some_and(|answer| answer.blocks_free == 300))
    }

    #[test]
    fn a_mount_that_hangs_fails_with_its_age_until_it_answers_and_no_other_waits_for_it() {
        let (server, mut readers) = (Server::new(), Readers::default());
        let both = ["/hung", "/good"];
        ask_until(&mut readers, &server, &both, |readers| {
            has_answered(readers, "/good")
        });
        let absent = readers.answer_at(6_000, "/hung");
        assert!(matches!(absent, Ok(None)), "{absent:?}");
        let late = readers.answer_at(17_500, "/hung").unwrap_err();
        assert_eq!(late.to_string(), "/hung: not answering for 12 s");
        server.let_go.send(()).unwrap();
        ask_until(&mut readers, &server, &both, |readers| {
            has_answered(readers, "/hung")
        });
        assert_eq!(readers.all.len(), 2, "one thread for each");
    }

    #[test]
    fn threads_that_hang_have_an_end_and_so_has_their_number() {
        let (server, mut readers) = (Server::new(), Readers::default());
        let names: Vec<String> = (0..20).map(|n| format!("/hung/{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        readers.ask_by(server.statvfs(), || 5_000, names.iter().copied());
        let beyond = readers.answer_at(5_000, "/hung/19").unwrap_err();
        assert!(matches!(beyond, ReadError::Refused { .. }), "{beyond}");
        readers.ask_by(server.statvfs(), || 5_000, [].into_iter());
        assert_eq!(readers.all.len(), READERS_MAX, "they hang");
        for _ in 0..READERS_MAX {
            server.let_go.send(()).unwrap();
        }
        ask_until(&mut readers, &server, &["/good"], |readers| {
            readers.all.len() == 1 && has_answered(readers, "/good")
        });
    }
}
