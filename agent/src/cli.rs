//! The command line: `nodling-agent [run|assess|check|replay|leave|sensors] [flags]`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::config::Overrides;

/// What `--help` prints.
pub const HELP: &str = "\
nodling-agent reports a board to Kubernetes, over any MQTT broker.

Usage: nodling-agent [COMMAND] [FLAGS]

Commands:
  run            report until stopped (this is the default)
  assess         observe twice, a second apart, and print what that means as JSON
  check          read the configuration and print it as it will be used
  replay FILE    read signals, one JSON object a line (- for standard input), and print what
                 the configured thresholds make of them
  leave          tell the gateway that this node is gone for good
  sensors        read each sensor once and say why one is not read

Flags:
  --config FILE       configuration (default: /etc/nodling/agent.toml, if it is there)
  --root DIR          look for /proc, /sys and /etc below DIR (default: /)
  --broker URL        mqtt[s]://[user[:password]@]host[:port]
  --node-name NAME    the Node's name (default: the host's name)
  --interval TIME     how often to report, such as 10s
  --once              with assess: observe once; rates are null
  --version           print the version
  --help              print this

Environment:
  NODLING_BROKER_PASSWORD   the broker's password, for the user in its URL
  RUST_LOG                  what to log, such as debug
";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Print what an observation means.
    Assess {
        /// One observation instead of two.
        is_once: bool,
    },
    /// Print the configuration.
    Check,
    /// Print the help.
    Help,
    /// Say goodbye for good.
    Leave,
    /// Judge what was recorded.
    Replay,
    /// Report.
    Run,
    /// Print sensors and their readings.
    Sensors,
    /// Print the version.
    Version,
}

/// A parsed command line.
#[derive(Clone, Debug)]
pub struct Arguments {
    /// What is to be done.
    pub command: Command,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// What `replay` reads.
    pub file: Option<PathBuf>,
    /// `--root`.
    pub root: PathBuf,
    /// Flags that beat the file.
    pub overrides: Overrides,
}

impl Arguments {
    /// Parses what follows the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::{Long, Short, Value, ValueExt as _};
        let mut parser = lexopt::Parser::from_args(arguments);
        let (mut command, mut is_once, mut root) = (None, false, None);
        let mut parsed = Self {
            command: Command::Run,
            config: None,
            file: None,
            root: PathBuf::from("/"),
            overrides: Overrides::default(),
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("config") => once("--config", &mut parsed.config, parser.value()?.into())?,
                Long("root") => once("--root", &mut root, parser.value()?.into())?,
                Long("broker") => {
                    once(
                        "--broker",
                        &mut parsed.overrides.broker,
                        parser.value()?.string()?,
                    )?;
                }
                Long("node-name") => {
                    let name = parser.value()?.string()?;
                    once("--node-name", &mut parsed.overrides.node_name, name)?;
                }
                Long("interval") => {
                    let interval = parser.value()?.string()?;
                    once("--interval", &mut parsed.overrides.interval, interval)?;
                }
                Long("once") => is_once = true,
                Long("version") | Short('V') => {
                    parsed.command = Command::Version;
                    return Ok(parsed);
                }
                Long("help") | Short('h') => {
                    parsed.command = Command::Help;
                    return Ok(parsed);
                }
                Value(name) if command.is_none() => {
                    command = Some(match name.to_str() {
                        Some("run") => Command::Run,
                        Some("assess") => Command::Assess { is_once: false },
                        Some("check") => Command::Check,
                        Some("replay") => Command::Replay,
                        Some("leave") => Command::Leave,
                        Some("sensors") => Command::Sensors,
                        _ => return Err(unknown(&name)),
                    });
                }
                Value(file) if command == Some(Command::Replay) && parsed.file.is_none() => {
                    parsed.file = Some(file.into());
                }
                Long(_) | Short(_) | Value(_) => return Err(argument.unexpected()),
            }
        }
        parsed.root = root.unwrap_or(parsed.root);
        parsed.command = match (command.unwrap_or(Command::Run), is_once) {
            (Command::Assess { .. }, is_once) => Command::Assess { is_once },
            (_, true) => return Err("--once belongs to assess".into()),
            (Command::Replay, false) if parsed.file.is_none() => {
                return Err("replay wants a file, or - for standard input".into());
            }
            (command, false) => command,
        };
        Ok(parsed)
    }
}

/// Of two values one would be meant and not taken.
fn once<T>(flag: &str, place: &mut Option<T>, value: T) -> Result<(), lexopt::Error> {
    match place.replace(value) {
        Some(_) => Err(format!("{flag} is given twice").into()),
        None => Ok(()),
    }
}

fn unknown(name: &OsStr) -> lexopt::Error {
    let name = name.to_string_lossy();
    let expected = "run, assess, check, replay, leave or sensors";
    format!("unknown command {name:?}: expected {expected}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let arguments = line.split_whitespace().map(OsString::from);
        Arguments::parse(arguments).map_err(|err| err.to_string())
    }

    #[test]
    fn run_is_the_default() {
        assert_eq!(parse("").unwrap().command, Command::Run);
        let arguments = parse("--interval 1s run --broker mqtt://b --root /x").unwrap();
        assert_eq!(arguments.command, Command::Run);
        assert_eq!(arguments.overrides.broker.as_deref(), Some("mqtt://b"));
        assert_eq!(arguments.overrides.interval.as_deref(), Some("1s"));
        assert_eq!(arguments.root, PathBuf::from("/x"));
    }

    #[test]
    fn once_belongs_to_assess() {
        assert_eq!(
            parse("assess --once").unwrap().command,
            Command::Assess { is_once: true }
        );
        assert_eq!(
            parse("assess").unwrap().command,
            Command::Assess { is_once: false }
        );
        assert_eq!(parse("run --once").unwrap_err(), "--once belongs to assess");
    }

    #[test]
    fn replay_wants_one_file() {
        let arguments = parse("replay - --config a.toml").unwrap();
        assert_eq!(arguments.command, Command::Replay);
        assert_eq!(arguments.file, Some(PathBuf::from("-")));
        let without = parse("replay").unwrap_err();
        assert_eq!(without, "replay wants a file, or - for standard input");
        assert!(parse("replay a b").unwrap_err().contains("\"b\""));
        assert!(parse("check a").unwrap_err().contains("\"a\""));
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(parse("frobnicate").unwrap_err().contains("frobnicate"));
        assert!(parse("--frob").unwrap_err().contains("--frob"));
        assert!(parse("run check").unwrap_err().contains("check"));
    }

    #[test]
    fn a_flag_stands_once() {
        let twice = parse("--broker mqtt://a --broker mqtt://b");
        assert_eq!(twice.unwrap_err(), "--broker is given twice");
        assert!(parse("--root / --root /").is_err());
    }
}
